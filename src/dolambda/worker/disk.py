"""Blobs in a worker's /tmp, which outlive the process that fetched them.

On entry: digests and content; on leaving: content, mapped.

A child that was stopped takes its memory with it; the next one finds the blobs here. What is mapped
from a file is the kernel's to drop, so it does not count against the worker's memory as copies
would. Least recently used first, files go when they exceed their room: half of what /tmp had left
at first. On Lambda one worker has a /tmp to itself; emulated ones share it, and then what is there.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

LEAST = 64 * 1024
"""Bytes from which on a blob is kept: asking the bucket for a smaller one takes no longer than
finding it.
"""


class Disk:
    """Files named by digest. What is given back is not yet checked."""

    def __init__(self, directory: Path | None = None, room: int | None = None) -> None:
        """``room`` is in bytes. Nothing is written yet."""
        # Lambda's; its content is checked.
        self._directory = directory or Path(os.environ.get("TMPDIR") or "/tmp", "dolambda-blobs")  # noqa: S108
        self._room = room

    def get(self, digest: str) -> memoryview | None:
        """Give a blob's content, read-only, if it is here."""
        path = self._directory / digest
        try:
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            os.utime(path)
        except (OSError, ValueError):  # not there, or empty
            return None
        return memoryview(content)

    def put(self, digest: str, content: bytes | memoryview) -> None:
        """Keep a blob, if there is room; drop the oldest for it."""
        if len(content) < LEAST:
            return
        try:
            self._directory.mkdir(exist_ok=True)
            if not self._make_room(len(content)):
                return
            part = self._directory / f".{os.getpid()}-{digest}"
            part.write_bytes(content)
            part.replace(self._directory / digest)
        except (
            OSError
        ):  # a task has filled /tmp, or removed the directory: then it is fetched again
            return

    def _make_room(self, nbytes: int) -> bool:
        if self._room is None:
            there = os.statvfs(self._directory)
            self._room = there.f_bavail * there.f_frsize // 2
        kept = []
        for path in self._directory.iterdir():
            try:
                found = path.stat()
            except FileNotFoundError:  # another worker has dropped it
                continue
            kept.append((found.st_mtime_ns, found.st_size, path))
        free = self._room - sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if free >= nbytes:
                break
            path.unlink(missing_ok=True)
            free += size
        return free >= nbytes
