"""What the audit found where no rule of AWS is involved, one function a finding.

Run by path, as scenarios.py, in the environment of any version since 0.1: where a name has changed,
both names are tried.

**Input:** the name of a probe. **Output:** exit code 0 if it goes as it should; else the error, on
standard error.
"""

from __future__ import annotations

import contextlib
import http.server
import importlib
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[3]))  # the tests

import boto3
from botocore.exceptions import ClientError

from dolambda.aws import account as account_module
from dolambda.aws.account import Account
from dolambda.aws.objects import Bucket
from dolambda.aws.reactor import Reactor
from dolambda.aws.signed_s3 import SignedS3
from dolambda.errors import DolambdaError
from dolambda.settings import Settings

_REGION = "eu-west-1"


class Server:
    """Answers each request with a status of `statuses`, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [200]
        self.seen: list[bytes] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                outer.seen.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                many = len(outer.statuses) > 1
                status = outer.statuses.pop(0) if many else outer.statuses[0]
                begun = b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                parts = begun + b"</InitiateMultipartUploadResult>"
                complete = b"<CompleteMultipartUploadResult><ETag>e</ETag>"
                done = complete + b"</CompleteMultipartUploadResult>"
                begins = self.command == "POST" and "uploadId" not in self.path
                body = parts if begins else done
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", '"tag"')
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_HEAD = do_PUT  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                """Be silent."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


def _either(*places: str) -> Any:
    """Return the first of these names that this version has, as "module:name"."""
    for place in places:
        module, _, name = place.partition(":")
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(module), name)
    raise AssertionError(f"nothing of {places}")


def _counter() -> Any:
    return _either("dolambda.aws.request_counter:RequestCounter", "dolambda.aws.calls:Calls")()


def _account(url: str | None = None) -> Account:
    return Account(boto3.Session("AK", "SK", region_name=_REGION), _REGION, url)


def _worker(url: str) -> Any:
    keys = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}
    s3 = SignedS3("b", {"AWS_REGION": _REGION, "AWS_ENDPOINT_URL": url, **keys}, _counter())
    if hasattr(s3, "begin_invocation"):
        s3.begin_invocation(60)
    return s3


def credentials_as_they_are() -> None:
    """A11: half a pair of keys, and `aws login`."""
    home = tempfile.mkdtemp()
    config = Path(home, "config")
    config.write_text(
        "[profile half]\naws_access_key_id = AK\n"
        "[profile login]\nlogin_session = arn:aws:iam::123456789012:user/someone\n"
    )
    for profile in ("half", "login"):
        done = subprocess.run(
            [Path(sys.executable).with_name("dolambda"), "status", "--profile", profile],
            env={**os.environ, "HOME": home, "AWS_CONFIG_FILE": str(config), **_IN_REGION},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if "Traceback" in done.stderr:
            raise AssertionError(f"{profile}: {done.stderr.splitlines()[-1]}")


_IN_REGION = {"AWS_DEFAULT_REGION": _REGION, "AWS_EC2_METADATA_DISABLED": "true"}


def a_private_authority() -> None:
    """A12: AWS_CA_BUNDLE names the authority of a proxy that inspects TLS."""
    from support.tls import Authority, Relay  # noqa: PLC0415 - needs openssl

    authority = Authority.made_in(Path(tempfile.mkdtemp()), "127.0.0.1")
    relay = Relay(authority, Server().port)
    os.environ["AWS_CA_BUNDLE"] = str(authority.certificate)
    Bucket.from_account(_account(f"https://127.0.0.1:{relay.port}"), "b").put("k", b"x")


def an_endpoint_of_the_environment() -> None:
    """A13: AWS_ENDPOINT_URL leads boto3 elsewhere, and so all others."""
    server = Server()
    os.environ["AWS_ENDPOINT_URL"] = server.url
    small = _either("dolambda.aws.small_objects:SmallObjects")
    account, done = _account(), Future[Any]()
    reactor = Reactor(account)
    small(reactor, account, "b", _counter()).put("k", b"x", done.set_result)
    done.result(10)
    if server.seen != [b"x"]:
        raise AssertionError("the object went elsewhere")


class _PutsAnObject:
    """A resource whose only change is to put an object."""

    def __init__(self, account: Account) -> None:
        self._s3 = account.client("s3")

    def changes(self) -> list[Any]:
        change = _either("dolambda.provision.plan:Change")
        put = {"Bucket": "b", "Key": "k", "Body": b"x"}
        return [change("create", "object", "", lambda: self._s3.put_object(**put))]


def deploy_as_commands() -> None:
    """A15: the AWS CLI takes a plain path for --body."""
    account = _account()
    account.__dict__["number"] = "123456789012"
    commands = _either("dolambda.provision.commands:commands")
    lines = commands(account, [_PutsAnObject(account)], Path(tempfile.mkdtemp()))
    if "--body fileb://" in "\n".join(lines):
        raise AssertionError("--body fileb://..., which `aws s3api put-object` refuses")


def s3_throttles_for_seconds() -> None:
    """B1: the reply of a long task meets SlowDown for some seconds."""
    server = Server(503)

    def recover() -> None:
        time.sleep(4)
        server.statuses[:] = [200]

    threading.Thread(target=recover, daemon=True).start()
    _worker(server.url).put_new("outs/k", b"x")


def a_connection_that_ends_after_a_call() -> None:
    """B2: a call whose connection ends is not sent again by libcurl."""
    from support.dropping import Dropping  # noqa: PLC0415 - the tests'

    server = Dropping()
    account = _account(server.url)
    invoker = _either("dolambda.aws.invoke:Invoker")(Reactor(account), account, "f", _counter())
    for payload in (b"1", b"2"):
        done: Future[Any] = Future()
        invoker.send(payload, done.set_result)
        done.result(20)
    if server.payloads != [b"1", b"2"]:
        raise AssertionError(f"calls that the server saw: {server.payloads}")


def an_upload_on_a_slow_line() -> None:
    """B4: one request of 40 MB takes 120 s with 2.7 Mbit/s, and then begins again."""
    server = Server()
    Bucket.from_account(_account(server.url), "b").put("k", bytes(40 << 20))
    if max(map(len, server.seen)) > 20 << 20:
        raise AssertionError(f"one request of {max(map(len, server.seen)) >> 20} MB")


def how_an_environment_ended() -> None:
    """B14: Lambda tells of memory in its sentence, and of time without a type."""
    direct = "dolambda.transport.direct"
    translated = _either(f"{direct}.client:_as_unanswered", f"{direct}:_as_unanswered")
    ended = _either("dolambda.aws.invoke:FunctionEndedError")
    oom = _either("dolambda.wire.outcome:OUT_OF_MEMORY")
    said = "RequestId: 1 Error: Runtime exited with error: signal: killed"
    reason = translated(ended("Runtime.ExitError", said)).lost.reason
    if reason != oom:
        raise AssertionError(f"out of memory is reported as {reason}")


def what_a_bill_contains() -> None:
    """B17: a bill says whose prices it takes, and what is not in it."""
    report = _either("dolambda.scheduler.report:Report", "dolambda.dispatch.report:Report")(
        jobs=1, seconds=1.0
    )
    bill = _either("dolambda.money.bill:Bill")
    said = str(bill.from_report(report, memory=1769, architecture="x86_64"))
    if "us-east-1" not in said or "data transfer" not in said:
        raise AssertionError(f"it says only: {said[-60:]}")


def system_libraries() -> None:
    """B20: what packages need of the system is compared with what Lambda's image has."""
    try:
        importlib.import_module("dolambda.environment.system_libraries")
    except ImportError:
        raise AssertionError("nothing looks for system libraries") from None


def a_region_that_is_not_enabled() -> None:
    """B21: AWS answers as if it did not know the credentials."""
    answer = {"Error": {"Code": "UnrecognizedClientException", "Message": "invalid"}}
    try:
        with account_module.translated():
            raise ClientError(answer, "GetFunction")
    except DolambdaError as error:
        if "not enabled" not in str(error):
            raise


def connections_of_a_worker() -> None:
    """B23: the certificates are read once, which takes 16 ms of CPU."""
    made, create = [], ssl.create_default_context

    def counted(*given: Any, **named: Any) -> ssl.SSLContext:
        made.append(1)
        return create(*given, **named)

    ssl.create_default_context = ssl._create_default_https_context = counted
    s3 = _worker("https://127.0.0.1:1")
    for _ in range(3):
        s3._connect()
    if len(made) > 1:
        raise AssertionError(f"certificates were read {len(made)} times for 3 connections")


def a_connection_that_was_dropped_silently() -> None:
    """C1: a network drops an idle connection without a word, while Lambda has frozen the worker."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        time.sleep(60)  # it answers no more

    def accept() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    s3 = _worker(f"http://127.0.0.1:{listening.getsockname()[1]}")
    s3.get("k")
    time.sleep(6)
    done: Future[Any] = Future()
    threading.Thread(target=lambda: done.set_result(s3.get("k")), daemon=True).start()
    done.result(10)


def addresses_of_s3() -> None:
    """C6: connections spread over the addresses that a name has."""
    import pycurl  # noqa: PLC0415 - as dolambda does

    line = _either("dolambda.aws.curl_handles:EasyHandle", "dolambda.aws.reactor:Line")
    used = set()
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.2", one.getsockname()[1])),
    ):
        host = f"many.example:{one.getsockname()[1]}"
        for _ in range(40):
            curl = line("s3", "GET", _REGION if line.__name__ == "Line" else _account()).curl
            curl.setopt(pycurl.RESOLVE, [f"{host}:127.0.0.1,127.0.0.2"])
            curl.setopt(pycurl.URL, f"http://{host}/")
            curl.setopt(pycurl.CONNECT_ONLY, 1)
            curl.perform()
            used.add(curl.getinfo(pycurl.PRIMARY_IP))
    if len(used) == 1:
        raise AssertionError(f"40 connections to {used} of two addresses")


def an_organisations_role() -> None:
    """C7: a role that an administrator made, and a boundary that roles must have."""
    Settings(
        role="arn:aws:iam::123456789012:role/theirs",
        permissions_boundary="arn:aws:iam::123456789012:policy/theirs",
    )


def a_reply_that_takes_too_long() -> None:
    """C8: what cannot be sent before the invocation's end is told by a short reply."""
    from support.slow_line import SlowLine  # noqa: PLC0415 - the tests'

    put = _either("dolambda.transport.put_reply:put_reply")
    server = SlowLine()
    s3 = _worker(server.url)
    s3.begin_invocation(2.0)
    put(s3, "client0000/000000", 0, bytes(64 << 20), b"k" * 32)
    if not server.taken:
        raise AssertionError("the client heard nothing")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    os._exit(0)  # threads of servers do not end
