"""The cache of a warm worker: blobs, unpickled functions, the user's own modules.

**Input:** digests. **Output:** content (checked against its digest), functions, an import path.

The least recently used blobs are dropped when the cache exceeds its capacity. They may still be on
disk (`disk.py`).
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
    from pathlib import Path

    from dolambda.wire.blob import BlobSource
    from dolambda.worker.disk import Disk

_FUNCTIONS = 256


class BlobCache:
    """A cache of content, least recently used first."""

    def __init__(self, source: BlobSource, room: int, disk: Disk | None = None) -> None:
        """Create an empty cache.

        Args:
            source: The store from which blobs are fetched.
            room: Capacity in bytes. A larger blob is fetched each time, unless ``disk`` has it.
            disk: Blobs on disk.
        """
        self._source = source
        self._disk = disk
        self._room = room
        self._blobs: OrderedDict[str, memoryview] = OrderedDict()
        self._functions: OrderedDict[str, tuple[str, Callable[..., Any]]] = OrderedDict()
        self._inline: Mapping[str, bytes | memoryview] = {}
        self.code: str | None = None
        self._place: Path | None = None  # where it is unpacked

    def calls(self) -> dict[str, int]:
        """Return the requests made since the last call of this method, by action."""
        return self._source.calls()

    def hold(self, inline: Mapping[str, bytes | memoryview]) -> None:
        """Make a job's inline blobs available until the next job."""
        self._inline = inline

    def buffer(self, digest: str) -> memoryview:
        """Return a blob's content, read-only: tasks share it, like joblib's memmaps."""
        if digest in self._inline:
            # Copied: with unaligned data numpy takes other code paths, whose results may differ in
            # the last bits.
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
        # A task may have overwritten it.
        return kept if kept is not None and Blob.from_bytes(kept).digest == digest else None

    def _from_source(self, digest: str) -> memoryview:
        content = Blob.from_store(digest, self._source.get_blob(digest)).data
        if self._disk:
            self._disk.put(digest, content)
        return (self._disk.get(digest) if self._disk else None) or memoryview(content).toreadonly()

    def argument(self, digest: str, *, shared: bool = False) -> memoryview | bytearray:
        """Return the content of a task's buffer.

        It is writable, and the task's own. With ``shared``, one as large as the arrays that joblib
        maps is read-only instead.
        """
        view = self.buffer(digest)
        if view.nbytes <= SHARED:
            return bytearray(view)
        if shared:
            return view
        own = self._disk.get(digest, own=True) if self._disk else None
        # A file that was replaced meanwhile by a task has another size, if anything.
        return own if own is not None and own.nbytes == view.nbytes else bytearray(view)

    def function(self, digest: str, run: str, *, shared: bool = False) -> Callable[..., Any]:
        """Return a function, unpickled once for each run. `argument` describes ``shared``.

        What its tasks have changed in closures, globals and default arguments ends with the run.
        """
        loaded_for, function = self._functions.get(digest, ("", None))
        if function is None or loaded_for != run:
            buffers, payload = split_function(self.buffer(digest))
            function = pickling.load(
                payload, [self.argument(buffer, shared=shared) for buffer in buffers]
            )
            self._functions[digest] = run, function
            if len(self._functions) > _FUNCTIONS:
                self._functions.popitem(last=False)
        self._functions.move_to_end(digest)
        return function

    def add_code(self, digest: str) -> None:
        """Put the user's own modules on the import path.

        This affects this process and the Python programs that tasks start.
        """
        if digest == self.code and self.has_code():
            return
        # 4 ms, only for own modules.
        from dolambda.worker.unpacking import unpack_code  # noqa: PLC0415

        self._place = unpack_code(digest, lambda: self.buffer(digest))
        if str(self._place) not in sys.path:  # it may have been unpacked a second time
            sys.path.insert(0, str(self._place))
        import_path.export()
        self.code = digest

    def has_code(self) -> bool:
        """Return whether the user's own modules are still there, unless none are needed."""
        return self._place is None or self._place.is_dir()
