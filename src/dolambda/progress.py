"""One bar for a run. On entry: reports; on leaving: a line on the terminal's standard error, gone when nothing is left to do."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from dolambda.dispatch.report import Report

_AFTER = 0.3  # seconds: what is over before needs no bar
_on_screen = threading.Lock()  # a terminal shows one live display at a time


class Bar:
    """Shows the reports of one run: done of all, failed, resent, workers, rate."""

    def __init__(self, description: str = "lambda", after: float = _AFTER) -> None:
        """Nothing is shown before the run has lasted ``after`` seconds."""
        self._description = description
        self._after = after
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._timer: threading.Timer | None = None
        self._last: Report | None = None

    def __call__(self, report: Report) -> None:
        """Show a report; nothing while all that was submitted is done, for now or for good."""
        with self._lock:
            self._last = report
            if report.over or (report.running == 0 and report.done + report.failed >= report.tasks):
                self._hide()
            elif self._progress:
                self._draw(report)
            elif self._timer is None:
                self._timer = threading.Timer(self._after, self._show)
                self._timer.daemon = True
                self._timer.start()

    def _show(self) -> None:
        with self._lock:
            self._timer = None
            if self._last and self._progress is None and _on_screen.acquire(blocking=False):
                self._progress = _make()
                self._task = self._progress.add_task(self._description, details="")
                self._progress.start()
                self._draw(self._last)

    def _draw(self, report: Report) -> None:
        if self._progress is None or self._task is None:
            return
        details = [f"{len(report.workers)} workers" if report.workers else "starting workers"]
        details += [f"{report.failed} failed"] if report.failed else []
        details += [f"{report.resent} resent"] if report.resent else []
        self._progress.update(self._task, total=report.tasks, completed=report.done + report.failed, details=", ".join(details))

    def _hide(self) -> None:
        self._last = None
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._progress:
            self._progress.stop()
            self._progress = None
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
