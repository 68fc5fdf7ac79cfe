from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.scheduler.folded_warnings import FoldedWarnings
from dolambda.scheduler.report import Report

if TYPE_CHECKING:
    import pytest

WARNING = "/home/me/fit.py:6: UserWarning: this is odd\n  warnings.warn('this is odd')\n"


class Shown:
    """A relay that keeps what it is to show."""

    def __init__(self, *, only_failed: bool = False) -> None:
        self.seen: list[tuple[int, str]] = []
        self.folded = FoldedWarnings(
            lambda index, output, failed: self.seen.append((index, output)), only_failed=only_failed
        )

    def end(self, capsys: pytest.CaptureFixture[str]) -> str:
        self.folded.end()
        return capsys.readouterr().out


def test_a_warning_is_shown_once_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown()
    for task in range(1000):
        shown.folded(task, WARNING, failed=False)
    assert shown.seen == [(0, WARNING)]
    assert shown.end(capsys) == "[999 more times] /home/me/fit.py:6: UserWarning: this is odd\n"
    assert shown.end(capsys) == ""


def test_what_else_a_task_prints_is_always_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown()
    for task in range(2):
        shown.folded(task, f"before\n{WARNING}  indented\nafter\n", failed=False)
    assert shown.seen[1] == (1, "before\n  indented\nafter\n")
    assert shown.end(capsys) == "[1 more time] /home/me/fit.py:6: UserWarning: this is odd\n"


def test_different_warnings_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown()
    for task, line in enumerate((1, 2, 1)):
        shown.folded(task, f"a.py:{line}: RuntimeWarning: overflow\n", failed=False)
    shown.folded(3, "Warning: no warning of Python's\n", failed=False)
    shown.folded(4, "Warning: no warning of Python's\n", failed=False)
    assert [task for task, _ in shown.seen] == [0, 1, 3, 4]
    assert shown.end(capsys) == "[1 more time] a.py:1: RuntimeWarning: overflow\n"


def test_warnings_of_tasks_that_are_not_shown_are_not_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = Shown(only_failed=True)
    shown.folded(0, WARNING, failed=False)
    shown.folded(1, WARNING, failed=True)
    assert shown.seen == [(1, WARNING)]
    assert shown.end(capsys) == ""


def test_the_counts_come_before_the_last_report(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown()
    for task in range(2):
        shown.folded(task, WARNING, failed=False)
    written: list[str] = []
    show = shown.folded.before(lambda _: written.append(capsys.readouterr().out))
    show(Report())
    show(Report(over=True))
    shown.folded.end()
    assert written == ["", "[1 more time] /home/me/fit.py:6: UserWarning: this is odd\n"]
    assert capsys.readouterr().out == ""
