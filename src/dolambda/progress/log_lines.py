"""Lines at growing intervals, for output that is a file or a service's log.

**Input:** reports of one run. **Output:** lines on standard error.
"""

from __future__ import annotations

import contextlib
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
    """The reports of one run as lines. A run of less than 10 seconds has none. Thread-safe.

    Tasks may take hours, and no report comes meanwhile. So a timer writes lines as well, as long as
    jobs are in flight.
    """

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
        self._last: tuple[Report, float] | None = None
        self._timer: threading.Timer | None = None

    def __call__(self, report: Report) -> None:
        """Write a line if it is time to, and at the end if there was one before."""
        with self._lock:
            if self._over:
                return
            self._over = report.over
            self._last = (report, self._clock())
            line = self._closing(report) if report.over else self._due()
            self._write_later()
        if line:
            self._write(line)

    def again(self) -> None:
        """Write the last report once more, if it is time to."""
        with self._lock:
            self._timer = None
            line = "" if self._over else self._due()
            self._write_later()
        if line:
            self._write(line)

    def _due(self) -> str:
        """Return the line of the last report, or nothing if it is too early."""
        now = self._clock()
        if self._next is None:
            self._next = now + self._pause
        if now < self._next or self._last is None:
            return ""
        self._pause = min(_LONGEST_S, self._pause * _GROWTH)
        self._next = now + self._pause
        self._has_written = True
        report, came = self._last
        return one_line(report, self._label, now - came)

    def _closing(self, report: Report) -> str:
        if self._timer:
            self._timer.cancel()
        return closing_line(report, self._label) if self._has_written else ""

    def _write_later(self) -> None:
        """Start the timer, unless it runs. A run without jobs in flight has no more to say."""
        running = self._last is not None and self._last[0].running and not self._over
        if self._timer or not running or self._next is None:
            return
        timer = threading.Timer(max(0.1, self._next - self._clock()), self.again)
        timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread can be started: reports write lines
            timer.start()
            self._timer = timer
