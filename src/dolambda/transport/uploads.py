"""Uploads of blobs to the bucket, each once.

**Input:** blobs that jobs need. **Output:** their objects in the bucket.
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

# From this size on, asking whether a blob exists is cheaper than sending it again.
_ASK_FIRST = 256 * 1024
_DAY = 86_400.0
# Seconds: the bucket's rules remove blobs after 30 days, and a run may take some days.
_OLD = 20 * _DAY
_AGAIN = 5 * _DAY  # after which the existence of a blob is checked once more


class Uploads:
    """The uploads of one client. Thread-safe."""

    def __init__(self, bucket: Bucket, *, zstd: bool = False) -> None:
        """Start without uploads.

        ``zstd`` is True if both ends have Zstandard, see `compression`.
        """
        self._bucket = bucket
        self._zstd = zstd
        self._lock = threading.Lock()
        self._made: dict[str, Upload] = {}

    def there(self, blobs: Iterable[Blob]) -> bool:
        """Return whether blobs are known to be in the bucket. This method does not block."""
        for blob in blobs:
            upload = self._made.get(blob.digest)
            if upload is None or not upload.is_done or not upload.is_fresh():
                return False
        return True

    def once(self, blob: Blob) -> None:
        """Ensure that a blob is in the bucket. This method blocks.

        Raises:
            AwsError: The upload failed.
        """
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
        except BaseException as error:  # other threads wait for this upload and must get any error
            with self._lock:
                del self._made[blob.digest]
            upload.future.set_exception(error)
            raise
        upload.is_done = True
        upload.future.set_result(None)

    def _upload(self, blob: Blob) -> None:
        key = keys.blob_key(blob.digest)
        if len(blob.data) >= _ASK_FIRST:
            age = self._bucket.age(key)
            if age is not None and age < _OLD:
                return
        self._bucket.put(key, compression.packed(blob.data, zstd=self._zstd))


class Upload:
    """The upload of one blob: in flight, done, or so old that the object must be checked again.

    Attributes:
        future: Set when it has ended.
        is_done: True once it has succeeded.
    """

    def __init__(self) -> None:
        """Begin the upload."""
        self.future: Future[None] = Future()
        self.is_done = False
        self._begun = time.monotonic()

    def is_fresh(self) -> bool:
        """Return whether the object will exist for long."""
        return time.monotonic() - self._begun < _AGAIN
