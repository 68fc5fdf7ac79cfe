"""What a warm worker keeps between jobs: blobs, unpickled functions, the user's own modules.

On entry: digests. On leaving: content (checked against its digest), functions, an import path. The
oldest are dropped when the blobs kept exceed the room given; on disk (`disk.py`) they may still be.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from dolambda.wire import pickling
from dolambda.wire.blob import Blob
from dolambda.wire.task import SHARED, split_function
from dolambda.worker import import_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dolambda.wire.blob import BlobSource
    from dolambda.worker.disk import Disk

_FUNCTIONS = 256


class BlobCache:
    """Kept content, least recently used first."""

    def __init__(self, source: BlobSource, room: int, disk: Disk | None = None) -> None:
        """``room`` is in bytes; a blob larger than that is fetched each time, unless ``disk`` has it."""
        self._source = source
        self._disk = disk
        self._room = room
        self._blobs: OrderedDict[str, memoryview] = OrderedDict()
        self._functions: OrderedDict[str, Callable[..., Any]] = OrderedDict()
        self._inline: Mapping[str, bytes | memoryview] = {}
        self.code: str | None = None

    def calls(self) -> dict[str, int]:
        """Requests made since this was last asked, by action."""
        return self._source.calls()

    def hold(self, inline: Mapping[str, bytes | memoryview]) -> None:
        """Make a job's inline blobs available, until the next job's."""
        self._inline = inline

    def buffer(self, digest: str) -> memoryview:
        """Give a blob's content, read-only: tasks share it, as joblib's memmaps are shared."""
        if digest in self._inline:
            # Copied: numpy takes other paths for data that begins anywhere, and so may give other
            # last bits.
            return memoryview(bytes(Blob.from_store(digest, self._inline[digest]).data))
        if digest in self._blobs:
            self._blobs.move_to_end(digest)
            return self._blobs[digest]
        view = self._from_disk(digest) or self._from_source(digest)
        self._blobs[digest] = view
        while (
            len(self._blobs) > 1 and sum(kept.nbytes for kept in self._blobs.values()) > self._room
        ):
            self._blobs.popitem(last=False)
        return view

    def _from_disk(self, digest: str) -> memoryview | None:
        kept = self._disk.get(digest) if self._disk else None
        # A task may have written into it.
        return kept if kept is not None and Blob.from_bytes(kept).digest == digest else None

    def _from_source(self, digest: str) -> memoryview:
        content = Blob.from_store(digest, self._source.get_blob(digest)).data
        if self._disk:
            self._disk.put(digest, content)
        return (self._disk.get(digest) if self._disk else None) or memoryview(content).toreadonly()

    def argument(self, digest: str) -> memoryview | bytearray:
        """Give the content of a task's buffer to write into, unless it is as large as what joblib maps: then shared, and read-only."""
        view = self.buffer(digest)
        return view if view.nbytes > SHARED else bytearray(view)

    def function(self, digest: str) -> Callable[..., Any]:
        """Give a function, unpickled once."""
        function = self._functions.get(digest)
        if function is None:
            buffers, payload = split_function(self.buffer(digest))
            function = pickling.load(payload, [self.argument(buffer) for buffer in buffers])
            self._functions[digest] = function
            if len(self._functions) > _FUNCTIONS:
                self._functions.popitem(last=False)
        self._functions.move_to_end(digest)
        return function

    def add_code(self, digest: str) -> None:
        """Put the user's own modules on the import path, here and in the Python programs that tasks start."""
        if digest == self.code:
            return
        # 4 ms, only for own modules.
        from dolambda.worker.unpacking import unpack_code  # noqa: PLC0415

        sys.path.insert(0, str(unpack_code(digest, lambda: self.buffer(digest))))
        import_path.export()
        self.code = digest
