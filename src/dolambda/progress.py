"""One bar for a run. On entry: reports; on leaving: a line on the terminal's standard error, gone when the run is over."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

    from dolambda.dispatch.report import Report

_AFTER = 0.3  # seconds: what is over before needs no bar
_on_screen = threading.Lock()  # a terminal shows one live display at a time


class Bar:
    """Shows the reports of one run: done of all, failed, resent, workers, rate."""

    def __init__(self, description: str = "lambda", clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is shown before the run has lasted a moment."""
        self._description = description
        self._clock = clock
        self._begun = clock()
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._over = False

    def __call__(self, report: Report) -> None:
        """Show a report."""
        with self._lock:
            if self._over or not self._shown():
                return
            self._draw(report)
            if report.running == 0 and report.done + report.failed >= report.tasks:
                self._end()

    def _shown(self) -> bool:
        if self._progress is None and self._clock() - self._begun > _AFTER and _on_screen.acquire(blocking=False):
            self._progress = _make()
            self._task = self._progress.add_task(self._description, details="")
            self._progress.start()
        return self._progress is not None

    def _draw(self, report: Report) -> None:
        if self._progress is None or self._task is None:
            return
        details = [f"{len(report.workers)} workers"]
        details += [f"{report.failed} failed"] if report.failed else []
        details += [f"{report.resent} resent"] if report.resent else []
        self._progress.update(self._task, total=report.tasks, completed=report.done + report.failed, details=", ".join(details))

    def _end(self) -> None:
        self._over = True
        if self._progress:
            self._progress.stop()
            _on_screen.release()


def _make() -> Progress:
    from rich.console import Console  # noqa: PLC0415 - not paid by who sees no bar
    from rich.progress import (  # noqa: PLC0415 - as above
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[details]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
