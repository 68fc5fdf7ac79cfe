"""The worker's end of the queue.

**Input:** a notification of S3. **Output:** replies in the bucket. See `dolambda.transport.queue`
for both ends.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from dolambda.errors import AccessDeniedError, EnvelopeError
from dolambda.transport.lease.worker import LeaseQuestion
from dolambda.transport.live.worker import PartWriter
from dolambda.transport.put_reply import put_reply
from dolambda.wire import keys
from dolambda.worker import log_line
from dolambda.worker.worker import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolambda.aws.signed_s3 import SignedS3
    from dolambda.worker.worker import Worker


def recognises(event: Mapping[str, Any]) -> bool:
    """Return whether a Lambda event is a notification of S3."""
    return isinstance(event, dict) and bool(_names(event))


def answer(
    event: Mapping[str, Any], worker: Worker, s3: SignedS3, key: bytes, seconds: float
) -> list[str]:
    """Run the jobs that an S3 notification names. Return the state of each."""
    ends = time.monotonic() + seconds
    return [_answer_one(name, worker, s3, key, ends - time.monotonic()) for name in _names(event)]


def _names(event: Mapping[str, Any]) -> list[str]:
    """Return the keys of the objects that a notification names.

    Return none if it is no notification: a caller of the function can write anything.
    """
    try:
        return [unquote_plus(record["s3"]["object"]["key"]) for record in event.get("Records", ())]
    except (KeyError, TypeError, IndexError, AttributeError):
        return []


def _answer_one(name: str, worker: Worker, s3: SignedS3, key: bytes, seconds: float) -> str:
    place = keys.parse_job_key(name) or keys.parse_format_1_job_key(name)
    if place is None:
        return _report(name, "refused: its name is not that of a job")
    arrived = time.monotonic()
    try:
        sealed = s3.get(name)
    except AccessDeniedError as denied:  # for a minute: the client gets the reason
        _report(name, f"denied: {denied}")
        s3.put_new(keys.reply_key(*place), refuse(*place, denied, key))
        return "denied"
    begun = time.monotonic()
    if sealed is None:
        worker.overhead.ended(begun - arrived)
        return _report(name, "gone: it was cancelled")
    # Counted here: the reply must contain its own PUT.
    calls = Counter({"s3:GetObject": 1, "s3:PutObject": 1})
    question = LeaseQuestion(lambda: s3, worker.keys, *place, calls)
    try:
        reply = worker.run(
            sealed,
            seconds=seconds,
            wanted=question.is_wanted,
            put_part=PartWriter(lambda: s3, question, calls).put,
            calls=calls,
            before=begun - arrived,
        )
    except EnvelopeError as error:
        reply = refuse(*place, error, key)
        _report(name, f"refused: {error}")
    sealed_at = time.monotonic()
    try:
        if worker.questions.due_before_reply(sealed_at - begun, sealed_at):
            worker.questions.asked(sealed_at)
            question.is_wanted()
        if question.cancelled:
            return _report(name, "cancelled meanwhile: its reply was not written")
        return (
            "answered"
            if put_reply(s3, *place, reply, key)
            else _report(name, "another invocation has already replied")
        )
    finally:
        worker.overhead.ended(time.monotonic() - sealed_at)


def _report(name: str, what: str) -> str:
    """Write a line to the function's log, where `aws logs` finds it. Return it."""
    log_line.write(what, object=name)
    return what
