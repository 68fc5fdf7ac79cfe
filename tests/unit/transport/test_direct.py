"""Direct calls: an answer that is not the function's own is no task's failure."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.transport.base import SealedJob, Unanswered
from dolambda.transport.direct.client import Direct
from dolambda.transport.lease.client import Leases
from dolambda.transport.uploads import Uploads
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
