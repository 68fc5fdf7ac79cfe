"""What a task prints and logs, whoever writes it: Python, C code or a child process.

On entry: file descriptors 1 and 2. On leaving: text, cut to `LIMIT` bytes a task.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile

LIMIT = 64 * 1024
"""Most bytes of output kept of one task."""


class Capture:
    """A file that both sides of the fork hold, so that what a crashing task printed last can still be read."""

    def __init__(self) -> None:
        """Open the file; nothing is redirected yet."""
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as this object

    def take_over(self) -> None:
        """Send this process's standard output and error to the file."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # Appending: after a truncation the next write belongs at the beginning, not where the last one ended.
        fcntl.fcntl(self._file, fcntl.F_SETFL, fcntl.fcntl(self._file, fcntl.F_GETFL) | os.O_APPEND)
        os.dup2(self._file.fileno(), 1)
        os.dup2(self._file.fileno(), 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, errors="replace", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="replace", closefd=False)

    def take(self) -> str:
        """Give what has been written since the last call."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        size = os.fstat(self._file.fileno()).st_size
        if not size:
            return ""
        text = os.pread(self._file.fileno(), LIMIT, 0).decode(errors="replace")
        os.ftruncate(self._file.fileno(), 0)
        return (
            text
            if size <= LIMIT
            else f"{text}\n... {size - LIMIT:,} bytes more were printed and are not shown\n"
        )

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
