"""The worker's last step: it writes the reply to the bucket, or a short one with the reason.

**Input:** a sealed reply. **Output:** whether it was written.

A large reply may take longer than the rest of the invocation. Without a short one, the client would
wait until its own deadline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.errors import AccessDeniedError
from dolambda.wire import keys
from dolambda.wire.outcome import NOT_STARTED, Lost
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.reply import Reply

if TYPE_CHECKING:
    from dolambda.aws.signed_s3 import SignedS3

_MB = 1 << 20


def put_reply(s3: SignedS3, run: str, number: int, reply: bytes, key: bytes) -> bool:
    """Write a job's reply, unless there is one. Return whether it was written.

    ``s3`` gives a request up a moment before the invocation's end; that moment is for the short
    reply.
    """
    place = keys.reply_key(run, number)
    try:
        return s3.put_new(place, reply)
    except AccessDeniedError:  # a short one would be denied too
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear of it
        lost = Lost(
            NOT_STARTED,
            f"its reply of {len(reply) / _MB:.1f} MB could not be stored before the invocation's "
            f"end: {error}",
            "Return less from each task, or deploy with a longer timeout=.",
        )
        told = Reply(run, number, 0, OutcomeTable(), refusal=lost)
        return s3.put_new(place, told.to_bytes(key))
