"""Every page of help: it opens, begins with a verb, and fits 80 columns."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from dolambda.cli import app
from dolambda.version import VERSION

RUNNER = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"})


def pages(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = [(path, command)]
    for name, inner in getattr(command, "commands", {}).items():
        found += pages(inner, (*path, name))
    return found


PAGES = pages(typer.main.get_command(app))
IDS = [" ".join(path) or "dolambda" for path, _ in PAGES]
VERBS = {"Check", "Create", "List", "Print", "Remove", "Replace", "Run", "Save", "Show", "Start"}
VERBS |= {"Stop", "Withdraw", "Write"}


@pytest.mark.parametrize(("path", "command"), PAGES, ids=IDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_each_page_opens(path: tuple[str, ...], command: Any, option: str) -> None:
    done = RUNNER.invoke(app, [*path, option])
    assert done.exit_code == 0
    assert done.output.strip()
    assert max(map(len, done.output.splitlines())) <= 80
    first = (command.help or command.callback.__doc__).split()[0]
    assert first in VERBS, first
    for parameter in command.params:
        text = getattr(parameter, "help", None)
        assert text, f"{parameter.name} has no help"
        assert re.match(r"[A-Z0-9x]|provided\.", text), text


def test_the_options_of_logs_take_a_line_each() -> None:
    rows = RUNNER.invoke(app, ["logs", "-h"]).output.splitlines()
    own = [at for at, row in enumerate(rows) if row.startswith("│ --")][:8]
    assert [rows[at].split()[1] for at in own[:2] + own[5:7]] == [
        "--run",
        "--task",
        "--follow",
        "--json",
    ]
    assert own == list(range(own[0], own[0] + 8))  # none goes on in a second line


def test_the_first_page_says_how_to_begin_and_where_the_documentation_is() -> None:
    shown = RUNNER.invoke(app, ["--help"]).output
    assert "Begin with `dolambda demo`." in shown
    assert "https://dolambda.github.io/dolambda/" in shown


def test_commands_are_in_groups() -> None:
    shown = RUNNER.invoke(app, ["--help"]).output
    places = [shown.index(title) for title in ("─ Run ─", "─ See ─", "─ Stack ─")]
    assert places == sorted(places)
    for name, group in (("quote", 0), ("status", 1), ("runs", 1), ("deploy", 2), ("local", 2)):
        at = re.search(rf"^│ {name} ", shown, re.MULTILINE)
        assert at is not None
        assert places[group] < at.start() < [*places, len(shown)][group + 1]
    assert "--install-completion" in shown


def test_both_ways_to_ask_for_the_version() -> None:
    assert RUNNER.invoke(app, ["--version"]).output == f"dolambda {VERSION}\n"
    assert RUNNER.invoke(app, ["version"]).output == f"dolambda {VERSION}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["logs", "--minutes", "0"],
        ["logs", "--minutes", "-5"],
        ["logs", "--minutes", "99999999999"],
        ["logs", "--task", "-1"],
        ["local", "start", "--workers", "-3"],
        ["local", "start", "--workers", "0"],
        ["policy", "nobody"],
        ["statsu"],
        ["status", "--nope"],
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_refused_before_anything_is_asked(arguments: list[str]) -> None:
    done = RUNNER.invoke(app, arguments)
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
    assert click.unstyle(done.output).startswith("Usage: ")
