"""The line that says what is being done: on a terminal late, and gone in the end."""

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


def test_nothing_is_written_into_closed_streams_or_when_not_wanted() -> None:
    closed = Terminal()
    closed.close()
    file, unwanted = StringIO(), Terminal()
    for made in (
        Status(file),  # too short
        Status(closed, after=0),
        Status(file, shown=False, after=0),
        Status(unwanted, shown=False, after=0),
    ):
        with made as status:
            status("deploying")
    assert file.getvalue() == unwanted.getvalue() == ""


def test_a_file_has_whole_lines_at_growing_intervals() -> None:
    file = StringIO()
    with Status(file, after=0.01) as status:
        status("installing numpy")
        until(lambda: file.getvalue().count("\n") == 5)
    lines = file.getvalue().splitlines()
    assert all(line.startswith("dolambda: installing numpy (") for line in lines)


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


class Display:
    """A notebook's display: all that was shown in it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def show(self, content: dict[str, str]) -> Display:
        self.lines.append(content["text/plain"])
        return self

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.show(content)


def test_in_a_notebook_it_is_one_display_that_is_empty_in_the_end() -> None:
    display = Display()
    with Status(StringIO(), after=0, display=display.show) as status:
        status("deploying")
        until(lambda: "dolambda: deploying (0 s)" in display.lines)
    assert display.lines[-1] == ""
