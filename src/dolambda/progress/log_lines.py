"""Lines at growing intervals, for output that is a file or a service's log.

**Input:** reports of one run. **Output:** lines on standard error.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dolambda.progress.notices import notice
from dolambda.progress.words import closing_line, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.progress.words import Label
    from dolambda.scheduler.report import Report

_FIRST_S, _GROWTH, _LONGEST_S = 10.0, 1.5, 600.0


class LogLines:
    """The reports of one run as lines. A run of less than 10 seconds has none. Thread-safe."""

    def __init__(
        self,
        label: Label,
        write: Callable[[str], None] = notice,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``write`` gets each line."""
        self._label = label
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = _FIRST_S
        self._next: float | None = None
        self._has_written = False
        self._over = False

    def __call__(self, report: Report) -> None:
        """Write a line if it is time to, and at the end if there was one before."""
        with self._lock:
            now = self._clock()
            if self._next is None:
                self._next = now + self._pause
            if self._over or not (report.over or now >= self._next):
                return
            self._over = report.over
            if not report.over:
                self._pause = min(_LONGEST_S, self._pause * _GROWTH)
                self._next = now + self._pause
                self._has_written = True
            elif not self._has_written:
                return
            say = closing_line if report.over else one_line
        if line := say(report, self._label):
            self._write(line)
