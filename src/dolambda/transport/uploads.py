"""Blobs on their way to the bucket, each once.

On entry: blobs that jobs need; on leaving: objects that are there.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from dolambda.wire import compression, keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolambda.aws.objects import Bucket
    from dolambda.wire.blob import Blob

# From this size on, asking whether a blob is there is cheaper than sending it again.
_ASK_FIRST = 256 * 1024
_DAY = 86_400.0
_OLD = 20 * _DAY  # seconds: the bucket's rules remove blobs after 30 days, and a run may take some
_AGAIN = 5 * _DAY  # after which one that was uploaded, or found, is asked for once more


class Uploads:
    """What one client has uploaded, or is uploading. For any thread."""

    def __init__(self, bucket: Bucket, *, zstd: bool = False) -> None:
        """Nothing yet. ``zstd``: both ends have Zstandard, see `compression`."""
        self._bucket = bucket
        self._zstd = zstd
        self._lock = threading.Lock()
        self._made: dict[str, Upload] = {}

    def there(self, blobs: Iterable[Blob]) -> bool:
        """Whether blobs are in the bucket already, as far as is known here. Does not block."""
        made = [self._made.get(blob.digest) for blob in blobs]
        return all(upload is not None and upload.is_done() and upload.is_fresh() for upload in made)

    def once(self, blob: Blob) -> None:
        """See to it that a blob is in the bucket. Blocks; raises `AwsError`."""
        with self._lock:
            upload = self._made.get(blob.digest)
            mine = upload is None or not upload.is_fresh()
            if upload is None or mine:
                upload = self._made[blob.digest] = Upload()
        if not mine:
            # The thread that uploads it is running, so this wait ends with its request.
            upload.future.result()
            return
        try:
            self._upload(blob)
        except BaseException as error:  # whatever it is, others wait for this upload
            with self._lock:
                del self._made[blob.digest]
            upload.future.set_exception(error)
            raise
        upload.future.set_result(None)

    def _upload(self, blob: Blob) -> None:
        key = keys.blob_key(blob.digest)
        if len(blob.data) >= _ASK_FIRST:
            age = self._bucket.age(key)
            if age is not None and age < _OLD:
                return
        self._bucket.put(key, compression.packed(blob.data, zstd=self._zstd))


class Upload:
    """Of one blob: under way, done, or so long ago that it is to be looked after again."""

    def __init__(self) -> None:
        """It begins."""
        self.future: Future[None] = Future()
        self._begun = time.monotonic()

    def is_done(self) -> bool:
        """Whether it has succeeded."""
        return self.future.done() and self.future.exception() is None

    def is_fresh(self) -> bool:
        """Whether the object will be there for long."""
        return time.monotonic() - self._begun < _AGAIN
