from __future__ import annotations

import io
import re
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from dolambda.progress.choose import display
from dolambda.progress.log_lines import LogLines
from dolambda.progress.notebook import NotebookDisplay
from dolambda.progress.notices import notice
from dolambda.progress.terminal import Bar, Screen
from dolambda.progress.words import Label, closing_line, one_line, row
from dolambda.scheduler.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

LABEL = Label()
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def report(tasks: int, done: int = 0, **facts: Any) -> Report:
    return Report(**{"tasks": tasks, "done": done, "expected": tasks, **facts})


BUSY = report(
    1000,
    400,
    expected=1000,
    failed=3,
    retried=2,
    resent=1,
    running=8,
    workers=frozenset("abcdefgh"),
    elapsed=20.0,
    cost=0.0041,
)


class Terminal:
    """A screen of 100 columns, and what is on it."""

    def __init__(self) -> None:
        self.file = io.StringIO()
        self.screen = Screen(lambda: Console(file=self.file, force_terminal=True, width=100))

    def bar(self, name: str = "", after: float = 0.01) -> Bar:
        return Bar(Label(name), after, self.screen)

    @property
    def text(self) -> str:
        return CODES.sub("", self.file.getvalue())

    def shows(self, text: str) -> bool:
        return until(lambda: text in self.text)

    @property
    def is_empty(self) -> bool:
        """The cursor is shown again, and the last line is gone."""
        return not self.file.getvalue() or self.file.getvalue().endswith("\x1b[2K")


def until(found: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not found() and time.monotonic() < deadline:
        time.sleep(0.01)
    return found()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def test_a_run_shows_what_is_done_failed_and_resent_and_then_leaves_its_closing_line(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = terminal.bar()
    bar(report(10, 4, failed=1, resent=2, running=2, workers=frozenset("ab")))
    assert terminal.shows("5/10")
    assert terminal.shows("1 failed, 2 resent, 2 of 2 workers busy")
    bar(report(10, 9, failed=1, elapsed=3.0, workers=frozenset("ab"), over=True))
    assert terminal.is_empty
    assert capsys.readouterr().err == "dolambda: 10 tasks in 3 s on 2 workers, 1 failed\n"


def test_what_is_over_in_a_moment_needs_no_bar_and_no_line(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = terminal.bar(after=0.2)
    bar(report(10, 1, running=2))
    bar(report(10, 10))
    time.sleep(0.3)
    bar(report(10, 10, over=True))
    assert terminal.text == ""
    assert capsys.readouterr().err == ""


def test_it_comes_back_when_more_is_submitted(terminal: Terminal) -> None:
    bar = terminal.bar()
    for done in (4, 8):
        bar(report(done + 1, done, running=1))
        assert terminal.shows(f"{done}/{done + 1}")
        bar(report(done, done))
        assert terminal.is_empty


def test_it_stays_while_joblib_is_known_to_have_more(terminal: Terminal) -> None:
    bar = terminal.bar()
    bar(report(10, 9, expected=1000, running=1))
    assert terminal.shows("9/1,000")
    bar(report(10, 10, expected=1000))
    assert not terminal.is_empty
    bar(report(1000, 1000, over=True))
    assert terminal.is_empty


def test_cancelled_it_leaves_the_screen_and_says_so(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = terminal.bar()
    bar(report(10, 4, running=2))
    assert terminal.shows("4/10")
    bar(report(10, 4, over=True, elapsed=2.0))
    assert terminal.is_empty
    assert capsys.readouterr().err == "dolambda: cancelled after 4 of 10 tasks in 2 s\n"


def test_two_runs_at_once_are_both_shown(terminal: Terminal) -> None:
    one, other = terminal.bar("first"), terminal.bar("second")
    one(report(3, 1, running=1))
    other(report(7, 1, running=1))
    assert until(lambda: bool(re.search(r"first .* 1/3.*\n.*second .* 1/7", terminal.text)))
    one(report(3, 3, over=True))
    other(report(7, 2, running=1))
    assert terminal.shows("2/7")
    assert not terminal.is_empty
    other(report(7, 7, over=True))
    assert terminal.is_empty


def test_no_bar_is_drawn_while_something_is_asked(terminal: Terminal) -> None:
    bar, other = terminal.bar(), terminal.bar()
    bar(report(10, 4, running=2))
    assert terminal.shows("4/10")
    with terminal.screen.cleared():
        assert terminal.is_empty
        before = terminal.text
        for one in (bar, other):
            one(report(10, 5, running=2))
        time.sleep(0.3)
        assert terminal.text == before
    bar(report(10, 6, running=2))
    assert terminal.shows("6/10")
    for one in (bar, other):
        one(report(10, 10, over=True))
    assert terminal.is_empty


def test_a_report_that_comes_late_brings_no_bar_back(terminal: Terminal) -> None:
    bar = terminal.bar()
    bar(report(10, 4, running=2))
    assert terminal.shows("4/10")
    threads = [threading.Thread(target=bar, args=(report(10, 5, running=2),)) for _ in range(20)]
    threads.insert(10, threading.Thread(target=bar, args=(report(10, 10, over=True),)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert terminal.is_empty


@pytest.mark.parametrize("width", [35, 40, 60, 80, 120, 200])
def test_a_line_fits_and_keeps_its_counts(width: int) -> None:
    for shown in (
        BUSY,
        replace(BUSY, open_ended=True, expected=123_456, tasks=123_456, done=99_000),
        report(1),
        report(0),
    ):
        said = row(shown, LABEL, width)
        assert len(f"{said.title} ") + said.cells + len(f" {said.text}") <= width
        assert 0 <= said.full <= said.cells
        assert f"{shown.ended:,}" in said.text
        assert f"{shown.expected:,}" in said.text


def test_what_matters_most_stays_longest() -> None:
    assert row(BUSY, LABEL, 60).text == "40% 403/1,000, 3 failed, 30 s left"
    assert row(BUSY, LABEL, 120).text == (
        "40% 403/1,000, 3 failed, 2 retried, 1 resent, 30 s left, 8 of 8 workers busy, "
        "$0.0041, 20 s so far"
    )
    assert row(BUSY, LABEL, 200).text.endswith("20 tasks/s, $0.0041, 20 s so far")


def test_a_total_that_is_not_known_is_at_least_what_was_submitted() -> None:
    growing = replace(BUSY, open_ended=True)
    assert "403 of at least 1,000" in row(growing, LABEL, 80).text
    assert "left" not in row(growing, LABEL, 200).text
    assert "1,000 tasks" in closing_line(replace(growing, done=997, over=True), LABEL)


def test_what_was_restored_says_nothing_of_the_time_left() -> None:
    resumed = report(1000, 600, restored=500, running=1, elapsed=10.0)
    assert "40 s left" in row(resumed, LABEL, 200).text


def test_time_passes_without_a_report() -> None:
    text = row(BUSY, LABEL, 200, age=20.0).text
    assert "10 s left" in text
    assert "40 s so far" in text
    assert "1 s left" in row(BUSY, LABEL, 200, age=500.0).text


def test_costs_of_emulated_aws_are_not_charged() -> None:
    emulated = Label(emulated=True)
    assert "would be $0.0041" in row(BUSY, emulated, 200).text
    assert closing_line(replace(BUSY, done=997, cold=8), emulated) == (
        "1,000 tasks in 20 s on 8 workers (8 cold starts), 3 failed, 2 retried, 1 resent, "
        "would be $0.0041"
    )


def test_a_log_has_lines_at_growing_intervals_and_a_closing_one() -> None:
    now, lines = [0.0], list[tuple[float, str]]()
    log = LogLines(Label("nightly"), lambda text: lines.append((now[0], text)), lambda: now[0])
    for second in range(200):
        now[0] = float(second)
        log(report(1000, 5 * second, running=1, elapsed=float(second)))
    log(report(1000, 1000, elapsed=200.0, over=True))
    log(report(1000, 1000, elapsed=200.0, over=True))
    times = [when for when, _ in lines]
    gaps = [after - before for before, after in zip([0.0, *times], times, strict=False)]
    assert times[0] == 10.0
    assert gaps[:-1] == sorted(gaps[:-1])
    assert len(lines) < 10
    assert lines[0][1].startswith("nightly: 5% 50/1,000 tasks")
    assert lines[-1][1] == "nightly: 1,000 tasks in 3 min 20 s"


def test_a_log_has_lines_though_no_report_comes() -> None:
    now, lines = [0.0], list[str]()
    log = LogLines(LABEL, lines.append, lambda: now[0])
    log(report(8, 0, running=2, elapsed=0.1))
    assert log._timer
    for second in (9.0, 10.0, 11.0, 25.0, 3600.0):
        now[0] = second
        log.again()
    assert [line.partition(" tasks, ")[0] for line in lines] == ["0% 0/8"] * 3
    assert lines[-1].endswith(", 1 h so far")
    log(report(8, 8, elapsed=3601.0, over=True))
    assert lines[-1] == "8 tasks in 1 h"
    log.again()
    assert len(lines) == 4


def test_a_log_says_nothing_more_of_a_run_without_jobs() -> None:
    log = LogLines(LABEL, lambda _: None, lambda: 0.0)
    log(report(8, 8))
    assert log._timer is None


def test_a_short_run_leaves_nothing_in_a_log() -> None:
    now, lines = [0.0], list[str]()
    log = LogLines(LABEL, lines.append, lambda: now[0])
    log(report(10, 1, running=1))
    now[0] = 9.0
    log(report(10, 10, over=True))
    assert not lines


class Shown:
    """A display of a notebook: all that was shown in it."""

    def __init__(self, content: dict[str, str]) -> None:
        self.contents = [content]

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.contents.append(content)


def test_a_notebook_has_one_display_that_stays_as_the_closing_line() -> None:
    now, shown = [0.0], list[Shown]()

    def show(content: dict[str, str]) -> Shown:
        shown.append(Shown(content))
        return shown[-1]

    line = NotebookDisplay(Label("<b>"), show, lambda: now[0])
    for step in range(20):
        now[0] = 0.1 * step
        line(report(20, step, running=1, elapsed=now[0]))
    line(report(20, 20, elapsed=2.0))
    line(report(20, 20, elapsed=2.0, over=True))
    (only,) = shown
    assert len(only.contents) < 10
    assert "<progress" in only.contents[0]["text/html"]
    assert "dolambda: &lt;b&gt;: " in only.contents[0]["text/html"]
    assert only.contents[-1]["text/plain"] == "dolambda: <b>: 20 tasks in 2 s"
    assert "<progress" not in only.contents[-1]["text/html"]


def test_what_is_over_in_a_moment_has_no_display() -> None:
    shown: list[dict[str, str]] = []
    line = NotebookDisplay(LABEL, shown.append, lambda: 0.0)
    line(report(3, 1, running=1))
    line(report(3, 3))
    line(report(3, 3, over=True))
    assert not shown


def test_where_there_is_no_terminal_it_writes_to_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(display(None, LABEL), LogLines)
    assert isinstance(display(wanted=True, label=LABEL), LogLines)
    assert display(wanted=False, label=LABEL) is None
    monkeypatch.setattr("sys.stderr", None)
    assert display(None, LABEL) is None


def test_all_of_it_is_on_one_line_of_a_log() -> None:
    assert one_line(BUSY, LABEL) == (
        "40% 403/1,000 tasks, 3 failed, 2 retried, 1 resent, 30 s left, 8 of 8 workers busy, "
        "20 tasks/s, $0.0041, 20 s so far"
    )


def test_a_run_that_was_declined_shows_no_more(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = terminal.bar()
    bar(report(30, 4, running=2))
    assert terminal.shows("4/30")
    with terminal.screen.cleared():
        pass
    before = terminal.text
    bar(report(30, 5, failed=16, declined=True))
    bar(report(30, 5, failed=25, declined=True, over=True))
    assert terminal.text == before
    assert capsys.readouterr().err == ""


class OnTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_narrow_terminal_breaks_a_line_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    streams = OnTerminal(), io.StringIO()
    for stream in streams:
        monkeypatch.setattr("sys.stderr", stream)
        notice("12 tasks in 6.4 s on 2 workers (1 cold start), would be $0.0008")
    told = "dolambda: 12 tasks in 6.4 s on 2 workers (1 cold start),{}would be $0.0008\n"
    assert [one.getvalue() for one in streams] == [told.format("\n  "), told.format(" ")]
