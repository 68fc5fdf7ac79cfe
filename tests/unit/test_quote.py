"""A quote is a sentence and a question; "no" is the user's choice, not an error of the program."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace

import pytest

from dolambda.money.quote import agreed
from dolambda.scheduler.pilot import Estimate


def test_an_estimate_is_a_sentence() -> None:
    several, one = Estimate(23, 0.3, 2, 95.0, 0.0034, 0.00001), Estimate(1, 2.0, 1, 2.0, 0.1, 0.01)
    assert str(several) == (
        "23 tasks left, 300 ms each: about 1 min 35 s on 2 workers, "
        "about $0.0034 by list price; the sample cost less than $0.0001"
    )
    assert str(one) == (
        "1 task left, 2 s each: about 2 s on 1 worker, "
        "about $0.1000 by list price; the sample cost $0.0100"
    )


def test_an_estimate_of_an_unknown_number_is_a_least_one_throughout() -> None:
    cheap = Estimate(4, 0.5, 2, 1.0, 0.00001, 0.001, at_least=True)
    assert str(replace(cheap, dollars=0.00018)) == (
        "at least 4 tasks left, 500 ms each: at least 1 s on 2 workers, "
        "at least $0.00018 by list price; the sample cost $0.0010"
    )
    assert "on 2 workers, less than $0.0001 by list price" in str(cheap)


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
