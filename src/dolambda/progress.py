"""One bar for a run.

On entry: reports; on leaving: a line on the terminal's standard error, gone when nothing is left to
do.

In a notebook, which is no terminal, the line is plain text that is written over and stays when all
is done, as tqdm's does.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from rich.progress import Progress, TaskID

    from dolambda.scheduler.report import Report

_CELLS = 20
_AFTER = 0.3  # seconds: what is over before needs no bar
_on_screen = threading.Lock()  # a terminal shows one live display at a time
_cleared = threading.Event()  # no bar is drawn while it is set
_shown: list[Bar] = []


# The setting progress=.
def display(wanted: bool | None) -> Callable[[Report], None] | None:  # noqa: FBT001
    """What shows a run's reports; None for nothing.

    ``wanted`` is None for: on a terminal or in a notebook.
    """
    if wanted is False:
        return None
    if in_notebook():
        return Line()
    return Bar() if wanted or sys.stderr.isatty() else None


@contextlib.contextmanager
def cleared() -> Iterator[None]:
    """Take bars off the screen, and keep them off while something is asked there."""
    _cleared.set()
    try:
        for bar in tuple(_shown):
            bar.hide()
        yield
    finally:
        _cleared.clear()


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: its shell is not a terminal's."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def details(report: Report) -> str:
    """What a bar says beside its counts."""
    busy = min(report.running, len(report.workers))
    parts = [
        f"{busy} of {len(report.workers)} workers busy" if report.workers else "starting workers"
    ]
    # Two digits are enough.
    parts += [f"{report.rate:,.{1 if report.rate < 10 else 0}f} tasks/s"] if report.rate else []  # noqa: PLR2004
    parts += [f"{report.failed} failed"] if report.failed else []
    parts += [f"{report.retried} retried"] if report.retried else []
    parts += [f"{report.resent} resent"] if report.resent else []
    parts += [f"${report.cost:.4f}"] if report.cost else []
    return ", ".join(parts)


class Line:
    """Reports as one line of text, written over. For any thread."""

    def __init__(
        self, description: str = "lambda", file: TextIO | None = None, every: float = 0.2
    ) -> None:
        """``file`` is standard error by default; at least ``every`` seconds between two writings."""
        self._description = description
        self._file = file
        self._every = every
        self._lock = threading.Lock()
        self._next = 0.0
        self._width = 0

    def __call__(self, report: Report) -> None:
        """Show a report, if it is time to, or the last."""
        ended = report.done + report.failed
        with self._lock:
            last = report.over or (ended >= report.tasks and not report.running)
            if (
                report.tasks == 0
                or not (last or time.monotonic() >= self._next)
                or (last and not self._width)
            ):
                return
            self._next = time.monotonic() + self._every
            filled = _CELLS * ended // report.tasks
            line = (
                f"{self._description}: "
                f"{ended / report.tasks:4.0%}|{'█' * filled}{' ' * (_CELLS - filled)}| "
            )
            line += f"{ended}/{report.tasks} [{report.elapsed:.1f} s, {details(report)}]"
            print(
                "\r" + line.ljust(self._width),
                end="\n" if last else "",
                file=self._file or sys.stderr,
                flush=True,
            )
            self._width = 0 if last else len(line)


class Bar:
    """Shows the reports of one run: done of all, and the `details`."""

    def __init__(self, description: str = "lambda", after: float = _AFTER) -> None:
        """Nothing is shown before the run has lasted ``after`` seconds."""
        self._description = description
        self._after = after
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._timer: threading.Timer | None = None
        self._last: Report | None = None
        self._over = False

    def __call__(self, report: Report) -> None:
        """Show a report; nothing while all that was submitted is done, for now or for good."""
        with self._lock:
            if self._over:
                return
            self._over = report.over
            self._last = report
            if report.over or (report.running == 0 and report.done + report.failed >= report.tasks):
                self._hide()
            elif self._progress:
                self._draw(report)
            elif self._timer is None and not _cleared.is_set():
                self._timer = threading.Timer(self._after, self._show)
                self._timer.daemon = True
                self._timer.start()

    def hide(self) -> None:
        """Take it off the screen until the next report."""
        with self._lock:
            self._hide()

    def _show(self) -> None:
        with self._lock:
            self._timer = None
            if self._last is None or self._progress or _cleared.is_set():
                return
            if _on_screen.acquire(blocking=False):
                _shown.append(self)
                self._progress = _make()
                self._task = self._progress.add_task(self._description, details="")
                self._progress.start()
                self._draw(self._last)
                if _cleared.is_set():  # meanwhile
                    self._hide()

    def _draw(self, report: Report) -> None:
        if self._progress is None or self._task is None:
            return
        self._progress.update(
            self._task,
            total=report.tasks,
            completed=report.done + report.failed,
            details=details(report),
        )

    def _hide(self) -> None:
        self._last = None
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._progress:
            self._progress.stop()
            self._progress = None
            _shown.remove(self)
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


def notice(text: str) -> None:
    """Print a line that the user has to see, even one who shows no log."""
    if sys.stderr is not None:  # as in a service
        with contextlib.suppress(OSError, ValueError):
            # It is for the user.
            print(f"dolambda: {text}", file=sys.stderr, flush=True)  # noqa: T201
