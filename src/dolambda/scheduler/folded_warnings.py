"""Warnings of tasks, each shown once and counted when it is repeated.

**Input:** the output of tasks. **Output:** the same without warnings that were shown before, and at
the end of the run a line for each of these with its count.
"""

from __future__ import annotations

import re
import sys
import threading
from typing import TYPE_CHECKING

from dolambda.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.scheduler.report import Report

_WARNING = re.compile(r"\S.*:\d+: \w*Warning: ")
_SOURCE = "  "  # beginning of the source line below a warning
_MAX_KNOWN = 1000


class FoldedWarnings:
    """A relay that shows each warning of a run once. Thread-safe."""

    def __init__(
        self, show: Callable[[int, str, bool], None], *, only_failed: bool = False
    ) -> None:
        """Create the relay.

        ``show`` gets the rest. With ``only_failed``, only that of failed tasks.
        """
        self._show = show
        self._only_failed = only_failed
        self._lock = threading.Lock()
        self._repeated: dict[str, int] = {}

    # A relay's signature.
    def __call__(self, index: int, output: str, failed: bool) -> None:  # noqa: FBT001
        """Show the output of a task, without warnings that were shown before."""
        if failed or not self._only_failed:
            left = self._fold(output) if "Warning: " in output else output
            if left:
                self._show(index, left, failed)

    def end(self) -> None:
        """Print the number of repetitions of each warning."""
        with self._lock:
            repeated, self._repeated = self._repeated, {}
        lines = [
            f"[{count(times, 'more time')}] {warning}\n"
            for warning, times in repeated.items()
            if times
        ]
        if lines and sys.stdout is not None:  # None as in a service
            sys.stdout.write("".join(lines))

    def before(self, show: Callable[[Report], None]) -> Callable[[Report], None]:
        """Return ``show``, which gets the last report after the counts were printed."""

        def show_last(report: Report) -> None:
            if report.over:
                self.end()
            show(report)

        return show_last

    def _fold(self, output: str) -> str:
        left: list[str] = []
        was_folded = False
        for line in output.splitlines(keepends=True):
            if was_folded and line.startswith(_SOURCE):
                was_folded = False
                continue
            was_folded = bool(_WARNING.match(line)) and self._was_shown(line.strip())
            if not was_folded:
                left.append(line)
        return "".join(left)

    def _was_shown(self, warning: str) -> bool:
        """Count a warning. Return whether it is known."""
        with self._lock:
            if warning in self._repeated:
                self._repeated[warning] += 1
                return True
            if len(self._repeated) < _MAX_KNOWN:
                self._repeated[warning] = 0
            return False
