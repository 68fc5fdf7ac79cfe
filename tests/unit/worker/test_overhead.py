"""What an invocation takes beside its tasks stands in replies, as Lambda bills it too."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

from dolambda.errors import EnvelopeError
from dolambda.transport.direct import worker as direct
from dolambda.transport.queue import worker as queue
from dolambda.wire import keys
from dolambda.wire.reply import Reply
from dolambda.worker.overhead import Overhead
from dolambda.worker.worker import Worker
from support.worker_jobs import job

KEY, RUN, SLOW = b"k" * 32, "client0000/000000", 0.1


class SlowS3:
    """Takes its time for each request."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        time.sleep(SLOW)
        return self.held.get(key)

    def exists(self, key: str) -> bool:
        return key in self.held

    def put_new(self, key: str, data: bytes) -> bool:
        time.sleep(SLOW)
        self.held[key] = data
        return True

    def get_blob(self, digest: str) -> bytes:
        data = self.get(digest)
        if data is None:
            raise EnvelopeError("not there")
        return data

    def calls(self) -> dict[str, int]:
        return {}


def sealed(number: int) -> bytes:
    sent = job((abs, (-1,)), run=RUN, number=number, deadline=time.time() + 600)
    return sent.to_bytes(KEY)


def seconds(reply: bytes) -> float:
    return Reply.from_bytes(reply, KEY).usage.seconds


def test_the_queues_replies_say_what_fetching_and_answering_took() -> None:
    s3: Any = SlowS3()
    worker = Worker(lambda: s3, KEY)
    said = 0.0
    for number in range(3):
        s3.held[keys.job_key(RUN, number)] = sealed(number)
        queue._answer_one(keys.job_key(RUN, number), worker, s3, KEY, 60)
        said += seconds(s3.held[keys.reply_key(RUN, number)])
    queue._answer_one(keys.job_key(RUN, 9), worker, s3, KEY, 60)  # cancelled: fetched in vain
    s3.held[keys.job_key(RUN, 10)] = sealed(10)
    queue._answer_one(keys.job_key(RUN, 10), worker, s3, KEY, 60)
    worker.close()
    assert said >= 6 * SLOW
    assert seconds(s3.held[keys.reply_key(RUN, 10)]) >= 3 * SLOW


def test_a_direct_reply_says_what_fetching_a_large_job_took() -> None:
    s3: Any = SlowS3()
    worker = Worker(lambda: s3, KEY)
    data = sealed(0)
    digest = hashlib.sha256(data).hexdigest()
    s3.held[digest] = data
    event = {"dolambda": {"run": RUN, "number": 0, "at": digest}}
    answer = direct.answer(event, worker, lambda: s3, lambda: s3, KEY, 60)
    worker.close()
    assert seconds(base64.b64decode(answer["reply"])) >= SLOW


def test_what_a_reply_could_not_say_stands_in_the_next() -> None:
    overhead, billed = Overhead(), 0.0
    said = 0.0
    for before, after in [(1, 5), (1, 2), (3, 0), (1, 4)]:
        said += overhead.of_reply(before)
        overhead.ended(after)
        billed += before + after
    overhead.ended(7)  # without a reply
    said += overhead.of_reply(0)
    assert said >= billed + 7
