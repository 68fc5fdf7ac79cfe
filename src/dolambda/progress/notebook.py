"""One display for each run in a notebook, which is updated, and stays as the closing line.

The output of tasks appears below it.

**Input:** reports of one run. **Output:** a display of IPython.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dolambda.notebook_display import content_of, new_display
from dolambda.progress.words import closing_line, one_line, share_done

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.notebook_display import Handle
    from dolambda.progress.words import Label
    from dolambda.scheduler.report import Report

_EVERY_S = 0.3


class NotebookDisplay:
    """The reports of one run. A very short run has no display. Thread-safe."""

    def __init__(
        self,
        label: Label,
        show: Callable[[dict[str, str]], Handle] = new_display,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``show`` makes a display of a bundle of MIME types, and returns its handle."""
        self._label = label
        self._show = show
        self._clock = clock
        self._lock = threading.Lock()
        self._next: float | None = None
        self._handle: Handle = None
        self._over = False

    def __call__(self, report: Report) -> None:
        """Show a report, if it is time to.

        The display says when all is done. Later tasks have a display in their own cell.
        """
        with self._lock:
            now = self._clock()
            if self._next is None:
                self._next = now + _EVERY_S
            if self._over or not report.tasks:
                return
            self._over = report.over
            if report.over or _is_idle(report):
                if self._handle is not None:
                    self._draw(closing_line(report, self._label), report, ended=True)
                self._handle, self._next = None, None
            elif now >= self._next:
                self._next = now + _EVERY_S
                self._draw(one_line(report, self._label), report, ended=False)

    def _draw(self, line: str, report: Report, *, ended: bool) -> None:
        line = f"dolambda: {line}"
        bar = "" if ended else f'<progress value="{share_done(report):.3f}" max="1"></progress> '
        content = content_of(line, bar)
        if self._handle is None:
            self._handle = self._show(content)
        else:
            self._handle.update(content, raw=True)


def _is_idle(report: Report) -> bool:
    return report.running == 0 and report.ended >= report.expected and not report.open_ended
