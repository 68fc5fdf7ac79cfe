"""``dolambda quote``: estimate time and cost of a program's first run from a few of its tasks."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer

from dolambda.errors import ConfigurationError, DolambdaError, QuotedError

FINISHED = (
    "dolambda: the program finished; every run was smaller than the sample, "
    "or its results were not used"
)

_formatwarning = warnings.formatwarning


def quote(
    program: Annotated[Path, typer.Argument(help="A Python program that uses dolambda.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="The program's arguments.")] = None,
) -> None:
    """Run a sample of a program's first tasks, and estimate what the rest would cost."""
    refuse_missing_program(program)
    os.environ["DOLAMBDA_QUOTE"] = "only"
    if not run_sample(program, arguments or []):
        print(FINISHED, file=sys.stderr)


def refuse_missing_program(program: Path) -> None:
    """Raise `ConfigurationError` if there is no such file."""
    if program.is_file():
        return
    name = str(program)
    if name.startswith("-"):
        raise ConfigurationError(
            f"{name} is not an option of this command",
            hint="Its options are on its page of help, -h. Those of a program stand after it.",
        )
    missing = "is not a file" if program.exists() else "does not exist"
    raise ConfigurationError(
        f"the program {name!r} {missing}", hint="Name a Python file, and after it its arguments."
    )


def run_sample(program: Path, arguments: list[str]) -> bool:
    """Run a program in this process.

    Return true if it ended because only a sample was to be run.
    """
    warnings.formatwarning = _formatwarning  # warnings of the program, not of the command line
    sys.argv = [str(program), *arguments]
    sys.path.insert(0, str(program.resolve().parent))
    try:
        runpy.run_path(str(program), run_name="__main__")
    except DolambdaError as error:
        if _is_quoted(error):
            return True
        print(f"dolambda: {error}", file=sys.stderr)  # in Python's terms, as the program is Python
        raise typer.Exit(1) from None
    except Exception as error:  # noqa: BLE001 - the program's error, shown as Python shows it
        traceback.print_exception(error.with_traceback(_from_program(error, program)))
        raise typer.Exit(1) from None
    return False


def _from_program(error: BaseException, program: Path) -> TracebackType | None:
    """Return an error's traceback from the program on.

    It is empty if the program could not be compiled: the error itself says where.
    """
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename != str(program):
        found = found.tb_next
    return found if found or isinstance(error, SyntaxError) else error.__traceback__


def _is_quoted(error: BaseException | None) -> bool:
    """Return whether an error, or its cause, is that only a sample was run."""
    while error is not None:
        if isinstance(error, QuotedError):
            return True
        error = error.__cause__ or error.__context__
    return False
