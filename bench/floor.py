"""What a job costs the client, against boto3 in threads and against the floor: a bare loop that
signs a request and waits for the answer.

Jobs are of one trivial task, requests of as many bytes and with the same headers, all over TLS to
the simulated AWS with 5 ms of latency, each in a process of its own; connections are made
beforehand. The floor signs as AWS's documentation has it, any request by the one function, as every
client library does. Below it is shown what is left when nothing is signed, and when all of a
signature is prepared but what time and body change: that fits a loop which sends one request for
ever, and no client, and is there so that nobody need take our word for what a floor is. A job by
the queue is two requests here (PUT, GET) and its share of LISTs and deletions; a job by direct is
one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import os
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import results
from dolambda import LambdaExecutor
from support.simulated_aws.behaviour import Behaviour
from support.simulated_aws.simulation import Simulation, session_on

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COUNT = 20_000
BYTES = 700
QUICK = Behaviour(
    s3_latency=0.005,
    invoke_latency=0.005,
    event_delay=0.0,
    cold_start=0.0,
    warm_start=0.0,
    burst=100_000,
)


class Bare(asyncio.Protocol):
    """One connection of the floor: sign, write, wait, again."""

    def __init__(self, left: list[int], done: asyncio.Event, request: Callable[[], bytes]) -> None:
        self._left = left
        self._done = done
        self._request = request

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"HTTP/1.1 20")
        self.next()

    def next(self) -> None:
        if self._left[0] > 0:
            self._left[0] -= 1
            self._transport.write(self._request())
        else:
            self._left[1] -= 1
            if not self._left[1]:
                self._done.set()


def signed(
    service: str, verb: str, host: str, path: str, headers: Mapping[str, str], body: bytes
) -> bytes:
    """A whole request, signed:
    docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
    """
    now = time.gmtime()
    stamp, day = time.strftime("%Y%m%dT%H%M%SZ", now), time.strftime("%Y%m%d", now)
    digest = hashlib.sha256(body).hexdigest()
    every = {**headers, "Host": host, "X-Amz-Date": stamp, "X-Amz-Content-Sha256": digest}
    lower = sorted((name.lower(), " ".join(value.split())) for name, value in every.items())
    names = ";".join(name for name, _ in lower)
    canonical = "\n".join(
        [verb, quote(path), "", *(f"{name}:{value}" for name, value in lower), "", names, digest]
    )
    scope = f"{day}/us-east-1/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4simulated"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    every["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential=simulated/{scope}, SignedHeaders={names}, "
        f"Signature={signature}"
    )
    every["Content-Length"] = str(len(body))
    head = [f"{verb} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in every.items())]
    return "\r\n".join([*head, "\r\n"]).encode() + body


def prepared(
    service: str, verb: str, host: str, path: str, headers: Mapping[str, str], body: bytes
) -> Callable[[], bytes]:
    """Give what makes a signed request again and again, of which only time and body are looked
    at.
    """
    day = time.strftime("%Y%m%d", time.gmtime())
    scope = f"{day}/us-east-1/{service}/aws4_request"
    key = b"AWS4simulated"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    given = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    def request() -> bytes:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        digest = hashlib.sha256(body).hexdigest()
        names = "host;x-amz-content-sha256;x-amz-date"
        canonical = (
            f"{verb}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{digest}\n"
            f"x-amz-date:{stamp}\n\n{names}\n{digest}"
        )
        text = (
            f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        )
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        head = (
            f"{verb} {path} HTTP/1.1\r\n{given}host: {host}\r\nx-amz-content-sha256: "
            f"{digest}\r\nx-amz-date: {stamp}\r\n"
            f"authorization: AWS4-HMAC-SHA256 Credential=simulated/{scope}, "
            f"SignedHeaders={names}, Signature={signature}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    return request


def unsigned(
    verb: str, host: str, path: str, headers: Mapping[str, str], body: bytes
) -> Callable[[], bytes]:
    """Give prepared bytes."""
    given = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    text = (
        f"{verb} {path} HTTP/1.1\r\n{given}host: {host}\r\ncontent-length: "
        f"{len(body)}\r\n\r\n".encode()
        + body
    )
    return lambda: text


def requests(kind: str, how: str, host: str) -> Callable[[], bytes]:
    """Give what makes the next request: of ``kind`` direct an Invoke, of queue a PUT and a GET in
    turn.
    """
    path, small = "/2015-03-31/functions/floor/invocations", b"x" * BYTES
    invoke = (
        "lambda",
        "POST",
        host,
        path,
        {"Content-Type": "application/json", "X-Amz-Invocation-Type": "RequestResponse"},
    )
    put: tuple[Any, ...] = (
        (*invoke, b'{"floor":"%s"}' % small)
        if kind == "direct"
        else ("s3", "PUT", host, "/bucket/blobs/floor", {}, small)
    )
    every = (
        [put] if kind == "direct" else [put, ("s3", "GET", host, "/bucket/blobs/floor", {}, b"")]
    )
    makers = [
        partial(signed, *one)
        if how == "signed"
        else prepared(*one)
        if how == "prepared"
        else unsigned(*one[1:])
        for one in every
    ]
    turns = itertools.cycle(makers)
    return lambda: next(turns)()  # noqa: PLW0108 - another one each time


def bare(endpoint_url: str, kind: str, in_flight: int, how: str = "signed") -> dict[str, Any]:
    host = endpoint_url.removeprefix("https://")
    context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
    name, port = host.split(":")
    request = requests(kind, how, host)

    async def run() -> dict[str, Any]:
        left, done = [COUNT, in_flight], asyncio.Event()
        loop = asyncio.get_running_loop()
        lines = [
            await loop.create_connection(
                lambda: Bare(left, done, request), name, int(port), ssl=context
            )
            for _ in range(in_flight)
        ]
        with results.Stopwatch() as watch:
            for _, line in lines:
                line.next()
            await done.wait()
        return watch.told()

    found = asyncio.run(run())
    return found if kind == "direct" else found | {"count": COUNT // 2}


def boto3_threads(endpoint_url: str, kind: str, in_flight: int) -> dict[str, Any]:
    import boto3  # noqa: PLC0415 - only here
    from botocore.config import Config  # noqa: PLC0415 - as above

    count = COUNT // 10
    session = boto3.Session("simulated", "simulated", region_name="us-east-1")
    config = Config(max_pool_connections=in_flight)
    client = session.client(
        "lambda" if kind == "direct" else "s3", endpoint_url=endpoint_url, config=config
    )

    def call(_: int) -> None:
        if kind == "direct":
            client.invoke(FunctionName="floor", Payload=b'{"floor":"' + b"x" * BYTES + b'"}')[
                "Payload"
            ].read()
        else:
            client.put_object(Bucket="bucket", Key="blobs/floor", Body=b"x" * BYTES)
            client.get_object(Bucket="bucket", Key="blobs/floor")["Body"].read()

    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(call, range(in_flight)))
        with results.Stopwatch() as watch:
            list(pool.map(call, range(count)))
    return watch.told(count=count)


def jobs(endpoint_url: str, key: str, kind: str, in_flight: int) -> dict[str, Any]:
    session = session_on(endpoint_url, bytes.fromhex(key), workers=in_flight, transport=kind)
    with LambdaExecutor(batch=1, session=session) as executor:
        list(executor.map(abs, range(in_flight)))
        with results.Stopwatch() as watch:
            assert list(executor.map(abs, range(COUNT))) == list(range(COUNT))
    session.close()
    return watch.told()


def measure() -> list[str]:
    rows = ["| what | in flight | a second | CPU, us each | x the floor |", "|---|---|---|---|---|"]
    with Simulation(QUICK, tls=True) as simulation:
        os.environ["AWS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = str(simulation.authority)
        for kind in ("direct", "queue"):
            for in_flight in (64, 1000):
                floor = 0.0
                for name, what in (
                    (
                        "bare signed "
                        + ("request" if kind == "direct" else "PUT and GET")
                        + " (the floor)",
                        "bare",
                    ),
                    ("as above, the signature prepared", "prepared"),
                    ("as above, unsigned", "unsigned"),
                    (f"dolambda, a job, {kind}", "jobs"),
                    (
                        "boto3, threads, " + ("a request" if kind == "direct" else "PUT and GET"),
                        "boto3_threads",
                    ),
                ):
                    if (what, in_flight) == ("boto3_threads", 1000):
                        continue  # a thousand threads
                    key = os.urandom(32).hex()
                    simulation.tell("/_function", {"kind": "dolambda", "key": key})
                    given = (
                        {"key": key}
                        if what == "jobs"
                        else {"how": what}
                        if what in ("prepared", "unsigned")
                        else {}
                    )
                    measured = "bare" if "how" in given else what
                    found = results.apart(
                        measured,
                        endpoint_url=simulation.endpoint_url,
                        kind=kind,
                        in_flight=in_flight,
                        **given,
                    )
                    count = found.get("count", COUNT)
                    each = found["cpu"] / count
                    floor = floor or each
                    rows.append(
                        f"| {name} | {in_flight:,} | {count / found['wall']:,.0f} | "
                        f"{each * 1e6:.0f} | {each / floor:.1f} |"
                    )
    return rows


if __name__ == "__main__":
    results.main("The floor", measure, bare=bare, boto3_threads=boto3_threads, jobs=jobs)
