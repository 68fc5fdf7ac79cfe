"""The worker's end of a direct call.

**Input:** the event. **Output:** the reply, or its place. See `dolambda.transport.direct` for both
ends.
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from dolambda.errors import EnvelopeError
from dolambda.transport.direct import fits
from dolambda.transport.lease.worker import LeaseQuestion
from dolambda.transport.live.worker import PartWriter
from dolambda.transport.put_reply import put_reply
from dolambda.wire import keys
from dolambda.wire.blob import Blob
from dolambda.worker.worker import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dolambda.aws.signed_s3 import SignedS3
    from dolambda.wire.blob import BlobSource
    from dolambda.worker.worker import Worker


def recognises(event: Mapping[str, Any]) -> bool:
    """Return whether a Lambda event is a job."""
    return isinstance(event, dict) and isinstance(event.get("dolambda"), dict)


def answer(
    event: Mapping[str, Any],
    worker: Worker,
    s3: Callable[[], SignedS3],
    blobs: Callable[[], BlobSource],
    key: bytes,
    seconds: float,
) -> dict[str, str]:
    """Run the job that an event contains or names. Return the reply, or its place."""
    job, arrived = event["dolambda"], time.monotonic()
    try:
        place = keys.parse_job_key(keys.job_key(job["run"], job["number"]))
        given, digest = base64.b64decode(job.get("job", "")), str(job.get("at", ""))
    except (
        KeyError,
        TypeError,
        ValueError,
    ):  # a caller of the function can write anything
        place = None
    if place is None:
        return {"refused": "its name is not that of a job"}
    try:
        sealed = given or Blob.from_store(digest, blobs().get_blob(digest)).data
        calls: Counter[str] = Counter()
        question = LeaseQuestion(s3, worker.keys, *place, calls)
        reply = worker.run(
            bytes(sealed),
            seconds=seconds,
            wanted=question.is_wanted,
            put_part=PartWriter(s3, question, calls).put,
            calls=calls,
            before=time.monotonic() - arrived,
        )
    except EnvelopeError as error:
        reply = refuse(*place, error, key)
    sealed_at = time.monotonic()
    if fits(len(reply)):  # a larger one is never made text, which would take twice its memory
        return {"reply": base64.b64encode(reply).decode()}
    try:
        put_reply(s3(), *place, reply, key)
    finally:
        worker.overhead.ended(time.monotonic() - sealed_at)
    return {"at": keys.reply_key(*place)}
