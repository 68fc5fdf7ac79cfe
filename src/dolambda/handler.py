"""The Lambda end: whose event is this? Let that transport answer.

On entry: what the Lambda runtime hands over. On leaving: what became of each job it named; the
answers themselves went the transport's way. Imports no SDK. Errors raised here are Lambda's to
report: a job left unanswered is sent again.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from dolambda.aws.partitions import account_in
from dolambda.aws.request_counter import RequestCounter
from dolambda.aws.signed_s3 import SignedS3
from dolambda.errors import EnvelopeError
from dolambda.transport.direct import worker as direct
from dolambda.transport.queue import worker as queue
from dolambda.wire import keys, signing_keys
from dolambda.wire.job import Place
from dolambda.worker.bundle import unpack
from dolambda.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping


class LambdaContext(Protocol):
    """What we use of the context object that Lambda passes."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""
        ...


class BucketBlobs:
    """Blobs from the stack's bucket."""

    def __init__(self) -> None:
        """Connect on first use."""
        self._calls = RequestCounter()
        self._s3 = SignedS3.from_environ(os.environ["DOLAMBDA_BUCKET"], self._calls)
        self._s3.owner = _s3().owner  # as the invocation has it that this process was forked in

    def calls(self) -> dict[str, int]:
        """See `BlobSource`."""
        return self._calls.take()

    def get_blob(self, digest: str) -> bytes:
        """See `BlobSource`."""
        data = self._s3.get(keys.blob_key(digest))
        if data is None:
            raise EnvelopeError(
                f"blob {digest[:12]} is not in the bucket",
                hint="Was it deleted while the run went on? Run again: it is uploaded again.",
            )
        return data


def handler(event: Mapping[str, Any], context: LambdaContext) -> list[str] | dict[str, str]:
    """Lambda calls this."""
    seconds = context.get_remaining_time_in_millis() / 1000
    _s3().begin_invocation(seconds)
    _s3().owner = account_in(getattr(context, "invoked_function_arn", ""))
    if direct.recognises(event):
        return direct.answer(event, _worker(), _s3, BucketBlobs, _keys()[0], seconds)
    if queue.recognises(event):
        return queue.answer(event, _worker(), _s3(), _keys()[0], seconds)
    return ["no event of dolambda's"]


@cache
def _keys() -> tuple[bytes, ...]:
    return signing_keys.accepted(os.environ)


@cache
def _worker() -> Worker:
    name, _, digest = os.environ.get("DOLAMBDA_BUNDLE", "").partition(":")
    if name:  # here and not at import: it may take longer than Lambda's 10 s for that
        sys.path.append(
            str(unpack(digest, lambda path: _s3().get_to_file(keys.bundle_key(name), path)))
        )
    return Worker(
        BucketBlobs,
        _keys()[0],
        also=_keys()[1:],
        memory=int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]),
        place=Place(
            os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
            os.environ.get("AWS_REGION", ""),
            os.environ.get("DOLAMBDA_FUNCTION", keys.FUNCTION),
        ),
    )


@cache
def _s3() -> SignedS3:
    return SignedS3.from_environ(os.environ["DOLAMBDA_BUCKET"], RequestCounter())
