from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from dolambda.progress import Bar, Line, cleared, display
from dolambda.scheduler.report import Report


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(
        "rich.console.Console", lambda **_: Console(file=file, force_terminal=True, width=100)
    )
    return file


def shown(screen: io.StringIO, text: str) -> bool:
    deadline = time.monotonic() + 10
    while text not in screen.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    return text in screen.getvalue()


def test_a_run_shows_what_is_done_failed_and_resent_and_then_leaves_the_screen(
    screen: io.StringIO,
) -> None:
    bar = Bar(after=0.01)
    bar(Report(tasks=10, done=4, failed=1, resent=2, running=2, workers=frozenset("ab")))
    assert shown(screen, "5/10")
    assert shown(screen, "2 of 2 workers busy, 1 failed, 2 resent")
    bar(Report(tasks=10, done=9, failed=1, running=0))
    assert screen.getvalue().endswith(
        "\x1b[?25h\r\x1b[1A\x1b[2K"
    )  # the cursor is shown again, the line is gone


def test_what_is_over_in_a_moment_needs_no_bar(screen: io.StringIO) -> None:
    bar = Bar(after=0.2)
    bar(Report(tasks=10, done=1, running=2))
    bar(Report(tasks=10, done=10))
    time.sleep(0.3)
    assert screen.getvalue() == ""


def test_it_comes_back_when_more_is_submitted_as_joblib_does(screen: io.StringIO) -> None:
    bar = Bar(after=0.01)
    for done in (4, 8):
        bar(Report(tasks=done + 1, done=done, running=1))
        assert shown(screen, f"{done}/{done + 1}")
        bar(Report(tasks=done, done=done, running=0))


def test_cancelled_it_leaves_the_screen_too(screen: io.StringIO) -> None:
    bar = Bar(after=0.01)
    bar(Report(tasks=10, done=4, running=2))
    assert shown(screen, "4/10")
    bar(Report(tasks=10, done=4, running=0, over=True))
    assert screen.getvalue().endswith("\x1b[2K")


def test_two_runs_at_once_share_one_screen(screen: io.StringIO) -> None:
    one, other = Bar(after=0.01), Bar(after=0.01)
    one(Report(tasks=3, done=1, running=1))
    assert shown(screen, "1/3")
    other(Report(tasks=7, done=1, running=1))
    one(Report(tasks=3, done=3))
    other(Report(tasks=7, done=2, running=1))
    assert shown(screen, "2/7")
    other(Report(tasks=7, done=7))


def test_a_line_of_text_is_written_over_and_ends_with_the_last_report() -> None:
    file = io.StringIO()
    line = Line(file=file, every=0.0)
    line(Report(tasks=4, done=1, running=2, workers=frozenset("ab"), elapsed=0.5, cost=0.25))
    line(
        Report(
            tasks=4, done=3, failed=1, retried=2, running=0, workers=frozenset("ab"), elapsed=2.0
        )
    )
    first, second = file.getvalue().removeprefix("\r").split("\r")
    assert first.startswith(
        "lambda:  25%|█████               | 1/4 [0.5 s, 2 of 2 workers busy, 2.0 tasks/s, $0.2500]"
    )
    assert second.startswith(
        "lambda: 100%|████████████████████| 4/4 [2.0 s, 0 of 2 workers busy, 2.0 tasks/s, 1 "
        "failed, 2 retried]"
    )
    assert second.endswith("\n")


def test_nothing_is_shown_where_nobody_looks_unless_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert display(None) is None
    assert display(wanted=False) is None
    assert isinstance(display(wanted=True), Bar)


def test_no_bar_is_drawn_while_something_is_asked(screen: io.StringIO) -> None:
    bar, other = Bar(after=0.01), Bar(after=0.01)
    bar(Report(tasks=10, done=4, running=2))
    assert shown(screen, "4/10")
    with cleared():
        assert screen.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")
        before = screen.getvalue()
        for one in (bar, other):
            one(Report(tasks=10, done=5, running=2))
        time.sleep(0.3)
        assert screen.getvalue() == before
    bar(Report(tasks=10, done=7, running=2))
    assert shown(screen, "7/10")
    bar(Report(tasks=10, done=10))
    other(Report(tasks=10, done=10))
