"""Lines for the user, which a Python program would print to standard error.

**Input:** writes to a stream: notices, warnings, the log. **Output:** whole lines.
"""

from __future__ import annotations

import io
import sys
import threading
import warnings
from typing import TYPE_CHECKING

from dolambda.progress.notices import notice
from dolambda.r.error_texts import in_r

if TYPE_CHECKING:
    from collections.abc import Callable


class Lines(io.TextIOBase):
    """A stream that passes on whole lines."""

    def __init__(self, take: Callable[[str], None]) -> None:
        """Create a stream. ``take`` gets each line that is not empty."""
        self._take = take
        self._lock = threading.Lock()
        self._begun = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Write a text. Return its length."""
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(None, lines):
            self._take(in_r(line))
        return len(text)


def hand_on_notices(take: Callable[[str], None]) -> None:
    """Pass all lines that this process writes to standard error to ``take`` from now on."""
    sys.stderr = Lines(take)
    warnings.showwarning = lambda message, *_: notice(str(message))
