"""A quote is a sentence and a question; "no" is the user's choice, not an error of the program."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, cast

import pytest

from dolambda.money.quote import agreed, sentence


@dataclass
class Left:
    """What an estimate says."""

    tasks: int = 23
    each: float = 0.3
    workers: int = 2
    seconds: float = 95.0
    dollars: float = 0.0034
    spent: float = 0.00001


def test_an_estimate_is_a_sentence() -> None:
    assert sentence(cast("Any", Left())).startswith(
        "23 tasks left, 300 ms each: about 1 min 35 s on 2 workers, about $0.0034 (list prices of "
    )
    assert sentence(cast("Any", Left())).endswith("; the sample cost less than $0.0001")
    assert sentence(cast("Any", Left(tasks=1, workers=1))).startswith("1 task left, 300 ms each: ")
    assert " on 1 worker, " in sentence(cast("Any", Left(workers=1)))


@pytest.mark.parametrize(
    ("typed", "yes", "asked"),
    [
        ("\n", True, 1),
        ("y\n", True, 1),
        (" YES \n", True, 1),
        ("n\n", False, 1),
        ("No\n", False, 1),
        ("", False, 1),  # Ctrl-D
        ("nein\nn\n", False, 2),
        ("what?\n\n", True, 2),
    ],
)
def test_only_yes_continues(typed: str, yes: bool, asked: int) -> None:
    terminal = io.StringIO()
    assert agreed(io.StringIO(typed), terminal) is yes
    said = terminal.getvalue()
    assert said.count("dolambda: continue? [Y/n] ") == asked
    assert said.endswith("the rest was not run\n") is not yes


def test_a_script_that_does_not_catch_it_ends_without_a_word() -> None:
    script = "from dolambda.errors import QuotedError\nraise QuotedError('only the sample was run')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
