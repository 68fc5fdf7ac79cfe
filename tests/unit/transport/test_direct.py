"""Direct calls: an answer that is not the function's own is no task's failure."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.aws.invoke import FunctionEndedError
from dolambda.transport.base import SealedJob, Unanswered
from dolambda.transport.direct import INLINE, fits
from dolambda.transport.direct import worker as direct_worker
from dolambda.transport.direct.client import Direct
from dolambda.transport.lease.client import Leases
from dolambda.transport.uploads import Uploads
from dolambda.wire.outcome import CRASHED, OUT_OF_MEMORY, TIMED_OUT
from dolambda.worker.overhead import Overhead
from support.fake_bucket import Inline, MemoryBucket
from support.futures import asked

if TYPE_CHECKING:
    from collections.abc import Callable


class Invoker:
    """Answers each call with the next of its answers."""

    refused = 0

    def __init__(self, *answers: bytes | BaseException) -> None:
        self.answers = list(answers)
        self.throttled: Callable[[str], None] = lambda _: None

    def send(self, _payload: bytes, done: Callable[[bytes | BaseException], None]) -> None:
        done(self.answers.pop(0))


def direct(*answers: bytes | BaseException) -> Direct:
    bucket: Any = MemoryBucket()
    bucket.get = lambda key: bucket.objects[key] if key in bucket.objects else missing(key)
    leases = Leases(bucket, b"k" * 32)
    followers: Any = Inline()
    invoker: Any = Invoker(*answers)
    return Direct(invoker, bucket, Uploads(bucket), leases, "client", followers)


def missing(key: str) -> bytes:
    raise FileNotFoundError(key)


RIGHT = json.dumps({"reply": base64.b64encode(b"a reply").decode()}).encode()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>Please log in</html>",
        RIGHT[:-10],
        RIGHT.replace(b"reply", b"re@ly"),
        b"\xff" + RIGHT,
        b"null",
        b"[]",
        b'"reply"',
        b'{"reply": 7}',
        b'{"reply": "x"}',
        b"[" * 100_000,
        b'{"at": "somewhere"}',
    ],
)
def test_an_answer_that_was_changed_on_the_way_is_one_to_send_again_for(answer: bytes) -> None:
    way, job = direct(answer, RIGHT), SealedJob("client/0", 0, b"a job")
    with pytest.raises(Unanswered):
        asked(way, job).result(20)
    assert asked(way, job).result(20) == b"a reply"
    way.close()


@pytest.mark.parametrize(
    ("kind", "said", "end"),
    [
        ("Runtime.ExitError", "RequestId: 1 Error: Runtime exited with error: signal: killed", "m"),
        ("Runtime.OutOfMemory", "Runtime exited without providing a reason", "m"),
        ("Sandbox.Timedout", "RequestId: 1 Error: Task timed out after 10.00 seconds", "t"),
        ("Unhandled", '{"errorMessage": "2026-11-25 1 Task timed out after 10.01 seconds"}', "t"),
        ("Runtime.ExitError", "RequestId: 1 Error: Runtime exited with error: exit status 3", "c"),
        ("ValueError", "signal: killed", "c"),
    ],
)
def test_how_an_environment_ended_is_known_from_lambdas_name_or_its_sentence(
    kind: str, said: str, end: str
) -> None:
    way = direct(FunctionEndedError(kind, said))
    with pytest.raises(Unanswered) as caught:
        asked(way, SealedJob("client/0", 0, b"a job")).result(20)
    assert caught.value.lost.reason == {"m": OUT_OF_MEMORY, "t": TIMED_OUT, "c": CRASHED}[end]
    way.close()


@pytest.mark.parametrize("size", range(INLINE // 4 * 3 - 3, INLINE // 4 * 3 + 4))
def test_what_fits_into_an_invoke_is_measured_as_text(size: int) -> None:
    assert fits(size) == (len(base64.b64encode(b"x" * size)) <= INLINE)


def test_a_reply_that_is_too_large_for_an_invoke_is_not_copied() -> None:
    """The worker has its memory once; as text a reply would take it more than twice."""
    reply, put = b"x" * (40 << 20), []
    worker: Any = type("W", (), {"keys": [], "overhead": Overhead(), "run": lambda *_, **__: reply})
    s3: Any = type("S3", (), {"put_new": lambda _self, *given: put.append(given)})
    event = {"dolambda": {"run": "client0000/000000", "number": 0, "job": "eA=="}}
    tracemalloc.start()
    said = direct_worker.answer(event, worker(), s3, s3, b"k" * 32, 60.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert said == {"at": "outs/client0000/000000/000000000"}
    assert len(put) == 1
    assert peak < len(reply) // 4
