"""Blobs on their way to the bucket, each once. On entry: blobs that jobs need; on leaving: objects that are there."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from dolambda.wire import keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolambda.aws.objects import Bucket
    from dolambda.wire.blob import Blob

_ASK_FIRST = 256 * 1024  # from this size on, asking whether a blob is there is cheaper than sending it again


class Uploads:
    """What one client has uploaded, or is uploading. For any thread."""

    def __init__(self, bucket: Bucket) -> None:
        """Nothing yet."""
        self._bucket = bucket
        self._lock = threading.Lock()
        self._made: dict[str, Future[None]] = {}

    def there(self, blobs: Iterable[Blob]) -> bool:
        """Whether blobs are in the bucket already, as far as is known here. Does not block."""
        made = (self._made.get(blob.digest) for blob in blobs)
        return all(upload is not None and upload.done() and upload.exception() is None for upload in made)

    def once(self, blob: Blob) -> None:
        """See to it that a blob is in the bucket. Blocks; raises `AwsError`."""
        with self._lock:
            upload = self._made.get(blob.digest)
            mine = upload is None
            if upload is None:
                upload = self._made[blob.digest] = Future()
        if not mine:
            upload.result()  # the thread that uploads it is running, so this wait ends with its request
            return
        try:
            key = keys.blob_key(blob.digest)
            if len(blob.data) < _ASK_FIRST or not self._bucket.exists(key):
                self._bucket.put_new(key, blob.data)
        except BaseException as error:
            with self._lock:
                del self._made[blob.digest]
            upload.set_exception(error)
            raise
        upload.set_result(None)
