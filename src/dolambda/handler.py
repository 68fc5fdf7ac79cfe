"""The function's handler, which lets the transport of an event process it.

**Input:** an event and its context, from the Lambda runtime. **Output:** the state of each job in
the event. The replies themselves go the way of the transport.

It imports no SDK. Lambda reports errors that are raised here, and a job without a reply is sent
again.
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
    """The part of Lambda's context object that dolambda uses."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""
        ...


class BucketBlobs:
    """Blobs in the stack's bucket."""

    def __init__(self) -> None:
        """Connect on first use."""
        self._calls = RequestCounter()
        self._s3 = SignedS3.from_environ(os.environ["DOLAMBDA_BUCKET"], self._calls)
        self._s3.owner = _s3().owner  # that of the invocation in which this process was forked

    def calls(self) -> dict[str, int]:
        """See `BlobSource`."""
        return self._calls.take()

    def get_blob(self, digest: str) -> bytes:
        """See `BlobSource`."""
        data = self._s3.get(keys.blob_key(digest))
        if data is None:
            raise EnvelopeError(
                f"blob {digest[:12]} is not in the bucket",
                hint="Something deleted it during the run. Start the run again: it uploads the "
                "blob again.",
            )
        return data


def handler(event: Mapping[str, Any], context: LambdaContext) -> list[str] | dict[str, str]:
    """Process an event. Lambda calls this function."""
    seconds = context.get_remaining_time_in_millis() / 1000
    _s3().begin_invocation(seconds)
    _s3().owner = account_in(getattr(context, "invoked_function_arn", ""))
    if direct.recognises(event) or queue.recognises(event):
        _add_bundle()
    if direct.recognises(event):
        return direct.answer(event, _worker(), _s3, BucketBlobs, _keys()[0], seconds)
    if queue.recognises(event):
        return queue.answer(event, _worker(), _s3(), _keys()[0], seconds)
    return ["no event of dolambda's"]


@cache
def _keys() -> tuple[bytes, ...]:
    return signing_keys.accepted(os.environ)


def _add_bundle() -> None:
    """Make the packages of the bundle importable.

    They are unpacked again when a task has emptied the directory for temporary files. They are not
    unpacked at import: it may take longer than the 10 s that Lambda allows for that.
    """
    name, _, digest = os.environ.get("DOLAMBDA_BUNDLE", "").partition(":")
    if name:
        place = unpack(digest, lambda path: _s3().get_to_file(keys.bundle_key(name), path))
        if str(place) not in sys.path:
            sys.path.append(str(place))


@cache
def _worker() -> Worker:
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
        workers=int(os.environ.get("DOLAMBDA_WORKERS", "1")),
    )


@cache
def _s3() -> SignedS3:
    return SignedS3.from_environ(os.environ["DOLAMBDA_BUCKET"], RequestCounter())
