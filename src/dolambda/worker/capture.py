"""Capture of what a task prints and logs: from Python, C code or a process that it starts.

**Input:** file descriptors 1 and 2. **Output:** text, cut to `LIMIT` bytes for each task.

A task may close, replace or lose its standard streams. They are restored after each task.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sys
import tempfile
from typing import TextIO

from dolambda.wire.kept_output import LIMIT, with_note

_NAMES = ("stdin", "stdout", "stderr")
_SEEK_END = os.SEEK_END
_lseek, _getcwd = os.lseek, os.getcwd  # taken at import: a task may replace them


class Capture:
    """A file that both sides of the fork hold, so the last output of a crashed task can be read."""

    def __init__(self) -> None:
        """Open the file. Nothing is redirected yet."""
        # Open as long as this object exists.
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._files: list[tuple[int, tuple[int, int] | None]] = []
        self._streams: list[TextIO] = []

    def take_over(self) -> None:
        """Redirect standard output and error of this process to the file.

        Empty its standard input.
        """
        # Appending: after a truncation the next write must begin at the start, not where the last
        # one ended.
        output = self._file.fileno()
        fcntl.fcntl(output, fcntl.F_SETFL, fcntl.fcntl(output, fcntl.F_GETFL) | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        self._files = [(fd, _identity(fd)) for fd in (nothing, output, output)]
        for fd in range(3):
            os.dup2(self._files[fd][0], fd)
        self._streams = [_stream(fd) for fd in range(3)]
        self.put_back()

    def is_untouched(self, *, brief: bool = False) -> bool:
        """Return whether a task has left everything as it was.

        That means: the standard streams are in place and open, the working directory exists, and
        nothing was written. The check takes less than a microsecond. Only `put_back` finds a
        descriptor that was replaced by another empty file. After a ``brief`` task only output is
        checked: it had no time to remove the directory.
        """
        _, out, err = self._streams
        if sys.stdout is not out or sys.stderr is not err:
            return False
        try:
            out.flush()
            err.flush()
            if _lseek(1, 0, _SEEK_END) or _lseek(2, 0, _SEEK_END):
                return False
            if not brief:
                _lseek(0, 0, _SEEK_END)
                _getcwd()  # raises if the directory was removed
        except BaseException:  # noqa: BLE001 - closed, or replaced by the task
            return False
        return True

    def put_back(self) -> None:
        """Flush the standard streams, and restore those that were closed, replaced or removed."""
        for stream in (sys.stdout, sys.stderr, *self._streams[1:]):
            with contextlib.suppress(BaseException):  # a task's own stream may raise anything
                stream.flush()
        for fd, (file, identity) in enumerate(self._files):
            if _identity(fd) != identity:
                os.dup2(file, fd)
        for fd, name in enumerate(_NAMES):
            if not _is_open(self._streams[fd]):
                self._reopen(fd)
            setattr(sys, name, self._streams[fd])
            setattr(sys, f"__{name}__", self._streams[fd])

    def _reopen(self, fd: int) -> None:
        closed, self._streams[fd] = self._streams[fd], _stream(fd)
        for handler in logging.root.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is closed:
                handler.stream = self._streams[fd]

    def take(self) -> str:
        """Return what was written since the last call."""
        size = os.fstat(self._file.fileno()).st_size
        if not size:
            return ""
        kept = os.pread(self._file.fileno(), LIMIT, 0)
        os.ftruncate(self._file.fileno(), 0)
        return with_note(kept.decode(errors="replace"), size - len(kept))

    def peek(self, start: int, most: int) -> bytes:
        """Return up to ``most`` bytes, from ``start``, written since the last `take`."""
        return os.pread(self._file.fileno(), most, start)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _stream(fd: int) -> TextIO:
    if not fd:
        return os.fdopen(fd, encoding="utf-8", errors="replace", closefd=False)
    return os.fdopen(fd, "w", 1, encoding="utf-8", errors="replace", closefd=False)


def _is_open(stream: TextIO) -> bool:
    try:
        return not stream.closed
    except ValueError:  # its buffer was detached
        return False


def _identity(fd: int) -> tuple[int, int] | None:
    """Return the file that a descriptor refers to, or None if it is closed."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino
