"""A bar for each run, at the bottom of a terminal. Other output appears above.

**Input:** reports of any number of runs. **Output:** lines on standard error. A run's closing line
stays.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from dolambda.progress.notices import notice
from dolambda.progress.words import Label, closing_line, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType
    from rich.live import Live

    from dolambda.scheduler.report import Report

_AFTER_S = 0.3  # a shorter run needs no bar
_MAX_BARS = 8
_REFRESH = 5  # times a second


class Bar:
    """The reports of one run. Thread-safe.

    The bar disappears when all is done, and returns if more is submitted.
    """

    def __init__(
        self, label: Label | None = None, after: float = _AFTER_S, screen: Screen | None = None
    ) -> None:
        """Create a bar. Nothing is shown before the run has lasted ``after`` seconds."""
        self.label = label or Label()
        self._after = after
        self._screen = screen or SCREEN
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._was_shown = False
        self._over = False
        self.report: Report | None = None
        self.received = 0.0

    def __call__(self, report: Report) -> None:
        """Process a report."""
        with self._lock:
            if self._over:
                return
            self._over = report.over
            is_idle = report.running == 0 and report.ended >= report.expected
            if report.over or report.declined or is_idle:
                self.report = None
                self._stop_timer()
                said = closing_line(report, self.label) if report.over and self._was_shown else ""
                self._screen.remove(self, said)
                return
            self.report, self.received = report, time.monotonic()
            if self._was_shown:
                self._screen.add(self)
            elif self._timer is None:
                self._start_timer()

    def _start_timer(self) -> None:
        self._timer = threading.Timer(self._after, self._appear)
        self._timer.daemon = True
        self._timer.start()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _appear(self) -> None:
        with self._lock:
            self._timer = None
            if self.report is not None:
                self._was_shown = True
                self._screen.add(self)


class Screen:
    """The bars of all runs. A terminal shows one live display at a time. Thread-safe."""

    def __init__(self, console: Callable[[], Console] | None = None) -> None:
        """Create the screen. ``console`` makes the console to draw on. Default: standard error."""
        self._console = console or _stderr
        self._lock = threading.Lock()
        self._bars: list[Bar] = []
        self._live: Live | None = None
        self._is_hidden = False

    def add(self, bar: Bar) -> None:
        """Show a bar."""
        with self._lock:
            if bar not in self._bars:
                self._bars.append(bar)
            self._show()

    def remove(self, bar: Bar, closing: str = "") -> None:
        """Remove a bar. ``closing`` is a line that stays."""
        with self._lock:
            if bar in self._bars:
                self._bars.remove(bar)
            if not self._bars:
                self._hide()
        if closing:
            notice(closing)

    @contextlib.contextmanager
    def cleared(self) -> Iterator[None]:
        """Remove the bars, and keep them off the screen while a question is asked.

        A bar comes back with the next report of its run.
        """
        with self._lock:
            self._is_hidden = True
            self._bars.clear()
            self._hide()
        try:
            yield
        finally:
            with self._lock:
                self._is_hidden = False
                self._bars.clear()

    def _show(self) -> None:
        if self._live or self._is_hidden or not self._bars:
            return
        from rich.live import Live  # noqa: PLC0415 - slow, and not needed without a bar

        self._live = Live(
            get_renderable=self._draw,
            console=self._console(),
            refresh_per_second=_REFRESH,
            transient=True,
        )
        self._live.start()

    def _hide(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _draw(self) -> RenderableType:
        """Return the bars. It runs in rich's thread, which waits for nothing."""
        from rich.text import Text  # noqa: PLC0415 - slow, and not needed without a bar

        console = self._live.console if self._live else self._console()
        full, empty = ("#", "-") if console.options.ascii_only else ("━", "─")
        now = time.monotonic()
        bars = [(bar.label, bar.report, now - bar.received) for bar in tuple(self._bars)]
        lines = []
        for label, report, age in bars[:_MAX_BARS]:
            if report is not None:
                said = row(report, label, console.width - 1, age)
                line = Text(f"{said.title} ", style="bold", no_wrap=True, overflow="ellipsis")
                line.append(full * said.full, style="not bold green")
                line.append(empty * (said.cells - said.full), style="not bold dim")
                line.append(f" {said.text}", style="not bold red" if report.failed else "not bold")
                lines.append(line)
        if len(bars) > _MAX_BARS:
            lines.append(Text(f"and {len(bars) - _MAX_BARS} more runs"))
        return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)


def _stderr() -> Console:
    from rich.console import Console  # noqa: PLC0415 - slow, and not needed without a bar

    return Console(stderr=True)


SCREEN = Screen()
"""The terminal of this process."""
