"""Another user of this machine, or a web page, gets nowhere with the emulated AWS of this one."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dolambda import LambdaExecutor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.local.instance import Instance
    from dolambda.session import Session

NOBODY = 65534
as_root = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux",
    reason="only root can act as another user, and only Linux tells them apart",
)

# Modules are imported while it may still read them; from then on it is another user.
BECOME_NOBODY = """
import encodings.idna, http.client, json, os, pathlib, sys
http.client.HTTPConnection("127.0.0.1", 1)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""

KNOCK = f"""{BECOME_NOBODY}
for port, method, path, headers, body in json.load(sys.stdin):
    door = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        door.request(method, path, body, headers)
        answer = door.getresponse()
        print(json.dumps([answer.status, answer.read(200).decode("latin-1")]))
    except (OSError, http.client.HTTPException) as error:
        print(json.dumps(["hung up", type(error).__name__]))
"""

LOOK = f"""{BECOME_NOBODY}
for place in json.load(sys.stdin):
    try:
        listed = os.path.isdir(place)
        print(json.dumps(os.listdir(place) if listed else pathlib.Path(place).read_text()))
    except OSError as error:
        print(json.dumps(type(error).__name__))
"""

Request = tuple[int, str, str, dict[str, str], str]


def as_nobody(script: str, given: object) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def port_of(instance: Instance) -> int:
    return int(instance.endpoint_url.rsplit(":", 1)[1])


def request(
    instance: Instance,
    method: str,
    path: str,
    *,
    service: str = "s3",
    key: str | None = None,
    secret: str | None = None,
    more: dict[str, str] | None = None,
) -> Request:
    """Return a request that is signed, by root unless another key is given."""
    made = AWSRequest(method, instance.endpoint_url + path, data=b"")
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(
        Credentials(key or instance.key, secret or instance.secret), service, "us-east-1"
    ).add_auth(made)
    headers = {name: str(value) for name, value in made.headers.items()}
    return port_of(instance), method, path, headers | (more or {}), ""


def listening(instance: Instance) -> set[int]:
    """Return the ports on which the emulator's processes listen."""
    group = json.loads((instance.directory / "state.json").read_text(encoding="utf-8"))["group"]
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has just ended
            opened = (process / "fd").iterdir() if os.getpgid(int(process.name)) == group else ()
            for one in opened:
                with contextlib.suppress(FileNotFoundError):  # it was just closed
                    sockets.add(str(one.readlink()))
    table = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return {
        int(row[1].split(":")[1], 16)
        for row in table
        if row[3] == "0A" and f"socket:[{row[9]}]" in sockets
    }


def answer_to(sent: Request) -> http.client.HTTPResponse:
    port, method, path, headers, body = sent
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    asked.request(method, path, body, headers)
    answer = asked.getresponse()
    answer.read()
    asked.close()
    return answer


@pytest.fixture
def working(session: Session) -> Iterator[LambdaExecutor]:
    """Workers that run: each listens for its events."""
    with LambdaExecutor(transport="direct") as executor:
        assert list(executor.map(abs, range(-4, 0))) == [4, 3, 2, 1]
        yield executor
    assert session.report().failed == 0


@as_root
@pytest.mark.usefixtures("working")
def test_another_user_is_hung_up_on_at_every_door_even_with_roots_key(instance: Instance) -> None:
    gateway = port_of(instance)
    workers = listening(instance) - {gateway}
    assert workers
    runtime = "/2018-06-01/runtime"
    doors: list[Request] = [
        (gateway, "GET", "/_ministack/health", {}, ""),
        (gateway, "POST", "/_ministack/reset", {}, ""),
        (gateway, "GET", "/", {}, ""),
        request(instance, "GET", "/"),
        request(instance, "GET", "/2015-03-31/functions/", service="lambda"),
    ]
    for port in sorted(workers):
        doors += [
            (port, "GET", f"{runtime}/invocation/next", {}, ""),
            (port, "POST", f"{runtime}/init/error", {}, "{}"),
            (port, "POST", f"{runtime}/invocation/1/response", {}, "{}"),
        ]
    assert answer_to(doors[3]).status == 200  # this user may
    assert [answer[0] for answer in as_nobody(KNOCK, doors)] == ["hung up"] * len(doors)


@as_root
@pytest.mark.usefixtures("working")
def test_another_user_reads_no_file(instance: Instance) -> None:
    places = [
        instance.directory.parent,
        instance.directory,
        *(
            instance.directory / name
            for name in ("instance.json", "state.json", "server.log", "tmp")
        ),
    ]
    assert as_nobody(LOOK, list(map(str, places))) == ["PermissionError"] * len(places)


@pytest.mark.usefixtures("working")
def test_the_emulator_listens_for_its_workers_and_at_its_gateway_only(instance: Instance) -> None:
    """What else listens is a worker's Runtime API, of which there are as many as environments."""
    ports = listening(instance)
    assert port_of(instance) in ports
    for port in ports - {port_of(instance)}:
        with socket.create_connection(("127.0.0.1", port), 20) as worker:
            worker.sendall(b"GET /none HTTP/1.0\r\n\r\n")
            assert b" 403 " in worker.recv(100)  # even to this user, who does not know the secret


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("s3", "/"),
        ("lambda", "/2015-03-31/functions/"),
        ("iam", "/?Action=ListUsers&Version=2010-05-08"),
    ],
)
def test_every_signature_is_checked(instance: Instance, service: str, path: str) -> None:
    def status(key: str | None, secret: str | None) -> int:
        return answer_to(
            request(instance, "GET", path, service=service, key=key, secret=secret)
        ).status

    assert status(None, None) == 200
    for key, secret in (
        (instance.key, "wrong"),
        ("test", "test"),
        ("test", instance.secret),
        ("000000000000", "test"),
        ("000000000000", instance.secret),
        ("123456789012", "test"),
        ("AKIAIOSFODNN7EXAMPLE", "x"),
    ):
        assert status(key, secret) == 403
    assert answer_to((port_of(instance), "GET", path, {}, "")).status == 403


@pytest.mark.parametrize(
    "path",
    ["/_ministack/reset", "/_ministack/config", "/_ministack/lambda-code/000000000000/us-east-1/x"],
)
def test_the_emulator_is_not_administered_even_by_root(instance: Instance, path: str) -> None:
    for method in ("GET", "POST"):
        assert answer_to(request(instance, method, path)).status == 403


@pytest.mark.parametrize(
    "more",
    [
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Host": "attacker.example"},
        {"Host": "localhost"},
    ],
)
def test_a_web_page_gets_nothing(instance: Instance, more: dict[str, str]) -> None:
    answer = answer_to(request(instance, "GET", "/", more=more))
    assert answer.status == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    preflight = {"Origin": "http://x", "Access-Control-Request-Method": "PUT"}
    asked = answer_to((port_of(instance), "OPTIONS", "/", preflight, ""))
    assert asked.status == 403
    assert not [name for name in asked.headers if name.lower().startswith("access-control")]
