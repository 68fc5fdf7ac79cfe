"""What a job costs the client, against boto3 in threads and against the floor: a bare loop that signs a request and waits for the answer.

Jobs are of one trivial task, requests of as many bytes, all over TLS to the simulated AWS with 5 ms of latency, each in a process of its
own; connections are made beforehand.
A job by the queue is two requests here (PUT, GET) and its share of LISTs and deletions; a job by direct is one.
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
from typing import TYPE_CHECKING, Any

import results
from dolambda import LambdaExecutor
from simulated_aws.behaviour import Behaviour
from simulated_aws.simulation import Simulation, session_on

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 20_000
BYTES = 700
QUICK = Behaviour(s3_latency=0.005, invoke_latency=0.005, event_delay=0.0, cold_start=0.0, warm_start=0.0, burst=100_000)


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


def signer(service: str, verb: str, host: str, path: str, body: bytes) -> Callable[[], bytes]:
    """Give what makes a signed request; the day's key is derived once."""
    day = time.strftime("%Y%m%d", time.gmtime())
    scope = f"{day}/us-east-1/{service}/aws4_request"
    key = b"AWS4simulated"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")

    def request() -> bytes:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        digest = hashlib.sha256(body).hexdigest()
        names = "host;x-amz-content-sha256;x-amz-date"
        canonical = f"{verb}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{stamp}\n\n{names}\n{digest}"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        head = (
            f"{verb} {path} HTTP/1.1\r\nhost: {host}\r\nx-amz-content-sha256: {digest}\r\nx-amz-date: {stamp}\r\n"
            f"authorization: AWS4-HMAC-SHA256 Credential=simulated/{scope}, SignedHeaders={names}, Signature={signature}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    return request


def bare(endpoint_url: str, kind: str, in_flight: int) -> dict[str, Any]:
    host = endpoint_url.removeprefix("https://")
    context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
    name, port = host.split(":")
    if kind == "direct":
        request = signer("lambda", "POST", host, "/2015-03-31/functions/floor/invocations", b'{"floor":"' + b"x" * BYTES + b'"}')
    else:
        put, get = signer("s3", "PUT", host, "/bucket/blobs/floor", b"x" * BYTES), signer("s3", "GET", host, "/bucket/blobs/floor", b"")
        turns = itertools.cycle((put, get))

        def request() -> bytes:
            return next(turns)()

    async def run() -> dict[str, Any]:
        left, done = [COUNT, in_flight], asyncio.Event()
        loop = asyncio.get_running_loop()
        lines = [await loop.create_connection(lambda: Bare(left, done, request), name, int(port), ssl=context) for _ in range(in_flight)]
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
    client = session.client("lambda" if kind == "direct" else "s3", endpoint_url=endpoint_url, config=config)

    def call(_: int) -> None:
        if kind == "direct":
            client.invoke(FunctionName="floor", Payload=b'{"floor":"' + b"x" * BYTES + b'"}')["Payload"].read()
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
                    ("bare signed " + ("request" if kind == "direct" else "PUT and GET"), "bare"),
                    (f"dolambda, a job, {kind}", "jobs"),
                    ("boto3, threads, " + ("a request" if kind == "direct" else "PUT and GET"), "boto3_threads"),
                ):
                    if (what, in_flight) == ("boto3_threads", 1000):
                        continue  # a thousand threads
                    key = os.urandom(32).hex()
                    simulation.tell("/_function", {"kind": "dolambda", "key": key})
                    given = {"key": key} if what == "jobs" else {}
                    found = results.apart(what, endpoint_url=simulation.endpoint_url, kind=kind, in_flight=in_flight, **given)
                    count = found.get("count", COUNT)
                    each = found["cpu"] / count
                    floor = floor or each
                    rows.append(f"| {name} | {in_flight:,} | {count / found['wall']:,.0f} | {each * 1e6:.0f} | {each / floor:.1f} |")
    return rows


if __name__ == "__main__":
    results.main("The floor", measure, bare=bare, boto3_threads=boto3_threads, jobs=jobs)
