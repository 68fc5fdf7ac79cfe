"""The line that says what is being done: on a terminal only, late, and gone in the end."""

from __future__ import annotations

from io import StringIO

from dolambda.local.status import Status
from support.polling import until


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_it_says_what_is_done_and_removes_its_line() -> None:
    terminal = Terminal()
    with Status(terminal, after=0) as status:
        status("deploying")
        until(lambda: "dolambda: deploying (0 s)" in terminal.getvalue())
        status("installing")
        until(lambda: "dolambda: installing (" in terminal.getvalue())
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_what_is_over_soon_is_not_said() -> None:
    terminal = Terminal()
    with Status(terminal, after=600) as status:
        status("deploying")
    assert terminal.getvalue() == ""


def test_nothing_is_written_into_files_or_closed_streams_or_when_not_wanted() -> None:
    closed = Terminal()
    closed.close()
    file, unwanted = StringIO(), Terminal()
    for made in (
        Status(file, after=0),
        Status(closed, after=0),
        Status(unwanted, shown=False, after=0),
    ):
        with made as status:
            status("deploying")
    assert file.getvalue() == unwanted.getvalue() == ""


def test_a_terminal_that_goes_away_disturbs_nothing() -> None:
    class Gone(Terminal):
        writes = 0

        def write(self, _text: str) -> int:
            self.writes += 1
            raise OSError(5, "Input/output error")

    terminal = Gone()
    with Status(terminal, after=0) as status:
        status("deploying")
        until(lambda: terminal.writes > 0)
    assert terminal.writes == 1
