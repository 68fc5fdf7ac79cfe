"""The process: python -m support.simulated_aws.server '{"seed": 1}'.

It prints its port, and ends when its standard input does.

On entry: requests of S3 and Lambda; on leaving: AWS's answers, after AWS's time, with AWS's faults,
drawn from a seed. Besides: GET /_seen gives counts, POST /_behave changes the behaviour, POST
/_function says what a function's name stands for.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import os
import random
import resource
import ssl
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from support.simulated_aws.behaviour import Behaviour
from support.simulated_aws.fleet import CONCURRENCY, Environment, Fleet
from support.simulated_aws.functions import Clock, Dolambda, Ran
from support.simulated_aws.http import Answer, Connection, Request
from support.simulated_aws.store import Store, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

_INVOKE = "/2015-03-31/functions/"
_BUCKET = "bucket"
_EXPIRED = b'{"message":"The security token included in the request is expired"}'
_SKEWED = (
    b'{"message":"Signature expired: 20261122T000000Z is now earlier than 20261122T001500Z '
    b'(20261122T002000Z - 5 min.)"}'
)


class Server:
    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.store = Store(self.counts, self._created)
        self.connections: set[Connection] = set()
        self._most_connections = 0
        self._draw = random.Random(behaviour.seed)  # noqa: S311 - repeatable, no secret
        self._fleet = Fleet(behaviour, self.counts)
        self._clock = Clock()
        self._clock.install()
        self._function: Callable[[Any, Environment], Ran] | None = None
        self._triggers = "jobs/"

    def handle(self, request: Request, answer: Callable[[Answer], None]) -> None:
        """Answer a request."""
        self._most_connections = max(self._most_connections, len(self.connections))
        if request.path.startswith("/_"):
            answer(self._told(request))
        elif refused := self._refused(request):
            refused.delay = self.behaviour.s3_latency
            answer(refused)
        elif request.path.startswith(_INVOKE):
            self._invoke(request, answer)
        else:
            answer(self._s3(request))

    def _told(self, request: Request) -> Answer:
        if request.path == "/_seen":
            return Answer(200, json.dumps(self.seen()).encode())
        given = json.loads(request.body)
        if request.path == "/_behave":
            if "seed" in given:
                self._draw = random.Random(given["seed"])  # noqa: S311 - repeatable, no secret
            self.behaviour = self._fleet.behaviour = replace(self.behaviour, **given)
        elif request.path == "/_function":
            self._become(given)
        return Answer(200)

    def _become(self, given: dict[str, Any]) -> None:
        """Be a new stack's: its function, an empty bucket, no warm environment."""
        self.counts.clear()
        self.faults.clear()
        self.store = Store(self.counts, self._created)
        self._fleet = Fleet(self.behaviour, self.counts)
        self._most_connections = 0
        if given["kind"] == "lithops":
            # Only where Lithops is installed.
            from support.simulated_aws.lithops_function import Lithops  # noqa: PLC0415

            self._function = Lithops(self.store, self.behaviour.s3_latency)
        else:
            self._function = Dolambda(
                self.store, bytes.fromhex(given["key"]), self._clock, self.behaviour.s3_latency
            )
        gc.collect()
        gc.freeze()

    def seen(self) -> dict[str, Any]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "calls": dict(self.counts),
            "faults": dict(self.faults),
            "busy": self._fleet.busy,
            "most_busy": self._fleet.most_busy,
            "connections": self._most_connections,
            "cpu": usage.ru_utime + usage.ru_stime,
            "objects": len(self.store.objects),
            "makespan": self._fleet.timeline.makespan if self._fleet.timeline else None,
        }

    # Faults.

    def _strikes(self, fault: str) -> bool:
        share = getattr(self.behaviour, fault)
        if not share or self._draw.random() >= share:
            return False
        self.faults[fault] += 1
        return True

    def _refused(self, request: Request) -> Answer | None:
        """The answer to a request whose signature is not taken; None if it is."""
        signed = request.header(b"authorization") or b""
        denied = any(key.lower().encode() in signed for key in self.behaviour.denied_keys)
        self.faults["denied_keys"] += denied
        of_lambda = request.path.startswith(_INVOKE)
        if denied or self._strikes("expired"):
            return (
                Answer(403, _EXPIRED, ("X-Amzn-Errortype: ExpiredTokenException",))
                if of_lambda
                else refusal(400, "ExpiredToken")
            )
        if self._strikes("skewed"):
            lambdas = Answer(403, _SKEWED, ("X-Amzn-Errortype: InvalidSignatureException",))
            return lambdas if of_lambda else refusal(403, "RequestTimeTooSkewed")
        return None

    # S3.

    def _s3(self, request: Request) -> Answer:
        _, _, key = request.path.lstrip("/").partition("/")
        if self._strikes("s3_503"):
            answer = refusal(503, "SlowDown")
        elif self._strikes("s3_500"):
            answer = refusal(500, "InternalError")
        else:
            answer = self.store.answer(request, key)
            answer.cut = request.verb == "GET" and len(answer.body) > 1 and self._strikes("s3_cut")
        answer.delay = self.behaviour.s3_latency
        return answer

    def _created(self, key: str) -> None:
        if not key.startswith(self._triggers) or self._strikes("lost_events"):
            return
        self._fleet.received()
        event = {
            "Records": [
                {
                    "eventSource": "aws:s3",
                    "s3": {"bucket": {"name": _BUCKET}, "object": {"key": key}},
                }
            ]
        }
        for _ in range(2 if self._strikes("duplicate_events") else 1):
            delay = self.behaviour.event_delay * math.exp(
                self._draw.gauss(0, self.behaviour.event_spread)
            )
            if self._strikes("late_events"):
                delay += self.behaviour.late_by
            self._fleet.clock.call_later(
                delay, self._fleet.queue, partial(self._run, self._fleet, event, None)
            )

    # Lambda.

    def _invoke(self, request: Request, answer: Callable[[Answer], None]) -> None:
        self.counts["lambda:InvokeFunction"] += 1
        latency = self.behaviour.invoke_latency
        if self._strikes("invoke_500"):
            answer(
                Answer(
                    500,
                    b'{"Message":"simulated"}',
                    ("X-Amzn-Errortype: ServiceException",),
                    latency,
                )
            )
            return
        event = json.loads(request.body)
        if request.header(b"x-amz-invocation-type") == b"event":
            self._fleet.queue(partial(self._run, self._fleet, event, None))
            answer(Answer(202, b"", ("x-amzn-RequestId: simulated",), latency))
            return
        reason = (
            CONCURRENCY
            if self._strikes("invoke_429")
            else self._fleet.invoke(partial(self._run, self._fleet, event, answer))
        )
        if reason:
            self.counts["throttled"] += 1
            self.counts[reason] += 1
            answer(
                Answer(429, json.dumps({"Reason": reason, "Type": "User"}).encode(), (), latency)
            )

    def _run(
        self,
        fleet: Fleet,
        event: dict[str, Any],
        answer: Callable[[Answer], None] | None,
        environment: Environment,
    ) -> None:
        assert self._function is not None
        ran = self._function(event, environment)
        seconds = ran.seconds * (self.behaviour.slower if self._strikes("slow") else 1)
        self.faults["poison"] += ran.dead
        dead = ran.dead or self._strikes("killed")
        ends = partial(self._end, fleet, ran, answer, environment, dead=dead)
        fleet.clock.call_later(seconds / 2 if dead else seconds, ends)

    def _end(
        self,
        fleet: Fleet,
        ran: Ran,
        answer: Callable[[Answer], None] | None,
        environment: Environment,
        *,
        dead: bool,
    ) -> None:
        latency = self.behaviour.invoke_latency
        fleet.release(
            environment, dead=dead
        )  # of the stack that it ran on, which may not be the present one
        if dead:
            if answer:
                said = (
                    b'{"errorType":"Runtime.ExitError","errorMessage":"RequestId: simulated '
                    b'Error: Runtime exited"}'
                )
                answer(Answer(200, said, ("X-Amz-Function-Error: Unhandled",), latency))
            return
        for key, data in ran.puts:
            self.counts["s3:PutObject"] += 1
            if key not in self.store.objects:
                self.store.put(key, data)
        if answer:
            answer(Answer(200, ran.answer, (), latency, cut=self._strikes("invoke_cut")))


async def serve(behaviour: Behaviour, certificate: str | None) -> None:
    """Serve until standard input ends; over TLS with the key and certificate in a file."""
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = Server(behaviour)
    listening = await loop.create_server(
        lambda: Connection(server.handle, server.connections),
        "127.0.0.1",
        0,
        backlog=20_000,
        ssl=tls,
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(
        sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 1) else ended.set()
    )
    await ended.wait()
    listening.close()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - twice as fast, where it is installed

        uvloop.install()
    given = dict(enumerate(sys.argv))
    asyncio.run(serve(Behaviour.from_json(given.get(1, "{}")), given.get(2)))


if __name__ == "__main__":
    main()
