"""Blobs in a worker's /tmp, which outlive the process that fetched them.

**Input:** digests and content. **Output:** content, mapped into memory.

When a child is stopped, its memory is lost, but the next child finds the blobs on disk. The kernel
can drop mapped files, so they do not count against the worker's memory as copies would. When the
files exceed their capacity, half of the initially free space of /tmp, the least recently used ones
are removed. On Lambda each worker has a /tmp of its own. Emulated workers share it, and its files.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

LEAST = 64 * 1024
"""Bytes from which a blob is kept. Fetching a smaller one takes no longer than finding it."""


class Disk:
    """Files named by digest. The content that it returns is not yet checked."""

    def __init__(self, directory: Path | None = None, room: int | None = None) -> None:
        """Prepare the directory. ``room`` is in bytes. Nothing is written yet."""
        # The directory on Lambda; its content is checked.
        self._directory = directory or Path(os.environ.get("TMPDIR") or "/tmp", "dolambda-blobs")  # noqa: S108
        self._room = room

    def get(self, digest: str, *, own: bool = False) -> memoryview | None:
        """Return a blob's content, or None if it is not on disk.

        It is read-only. With ``own`` it is writable, and what is written stays in this mapping:
        only changed pages are copied.
        """
        path = self._directory / digest
        access = mmap.ACCESS_COPY if own else mmap.ACCESS_READ
        try:
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=access)
            os.utime(path)
        except (OSError, ValueError):  # missing, or empty
            return None
        return memoryview(content)

    def put(self, digest: str, content: bytes | memoryview) -> None:
        """Keep a blob if there is room. Remove the least recently used ones for it."""
        if len(content) < LEAST:
            return
        try:
            self._directory.mkdir(exist_ok=True)
            if not self._make_room(len(content)):
                return
            part = self._directory / f".{os.getpid()}-{digest}"
            part.write_bytes(content)
            part.replace(self._directory / digest)
        except OSError:
            # A task has filled /tmp, or removed the directory: the blob is fetched again.
            return

    def _make_room(self, nbytes: int) -> bool:
        if self._room is None:
            there = os.statvfs(self._directory)
            self._room = there.f_bavail * there.f_frsize // 2
        kept = []
        for path in self._directory.iterdir():
            try:
                found = path.stat()
            except FileNotFoundError:  # another worker has removed it
                continue
            kept.append((found.st_mtime_ns, found.st_size, path))
        free = self._room - sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if free >= nbytes:
                break
            path.unlink(missing_ok=True)
            free += size
        return free >= nbytes
