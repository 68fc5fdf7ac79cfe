"""A quote, shown to the user.

**Input:** an estimate after the first tasks of a run, its sample. **Output:** whether to run the
rest.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from dolambda.money.prices import BASIS
from dolambda.progress.notices import notice
from dolambda.progress.terminal import SCREEN

if TYPE_CHECKING:
    from typing import TextIO

    from dolambda.scheduler.pilot import Estimate


def verdict(estimate: Estimate, *, only: bool = False) -> bool:
    """Print the estimate to standard error. On a terminal ask whether to run the rest, else run it.

    ``only`` asks for nothing but the quote, so the rest never runs. `dolambda quote` sets it by an
    environment variable, so it also holds for a program with ``quote=True``.
    """
    only = only or os.environ.get("DOLAMBDA_QUOTE") == "only"
    with SCREEN.cleared():
        notice(f"{estimate} ({BASIS})")
        if only:
            return False
        if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
            return True
        return agreed(sys.stdin, sys.stderr)


def agreed(answers: TextIO, terminal: TextIO) -> bool:
    """Ask whether to continue. The end of input, as by Ctrl-D, means no."""
    while True:
        terminal.write("dolambda: continue? [Y/n] ")
        terminal.flush()
        line = answers.readline()
        answer = line.strip().lower()
        if line and answer in ("", "y", "yes"):
            return True
        if not line or answer in ("n", "no"):
            end = "" if line else "\n"
            terminal.write(f"{end}dolambda: stopped after the sample; the rest was not run\n")
            terminal.flush()
            return False
