"""``dolambda quote``: what a program's runs would cost, told after a few tasks of each."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from dolambda.errors import ConfigurationError, QuotedError
from dolambda.money import quote as quoting


def quote(
    program: Annotated[Path, typer.Argument(help="A Python program that uses dolambda.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="What it is given.")] = None,
) -> None:
    """Run a program as far as the first tasks of its first run, and tell what the rest would take and cost."""
    if not program.is_file():
        raise ConfigurationError(
            f"there is no program {program}",
            hint="Give the path of a Python file, and after it its arguments.",
        )
    os.environ["DOLAMBDA_QUOTE"] = "true"
    quoting.only = True
    sys.argv = [str(program), *(arguments or [])]
    sys.path.insert(0, str(program.resolve().parent))
    try:
        runpy.run_path(str(program), run_name="__main__")
    except QuotedError:
        return
    print(
        "dolambda: the program came to its end: no run had more tasks than a pilot has, or the program went on without their results"
    )
