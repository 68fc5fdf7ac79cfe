"""The traceback of an exception in the form that its user should read.

**Input:** an exception that a task raised. **Output:** text as Python prints it, with chained
exceptions, without the frames of dolambda itself. Cells of a notebook have IPython's names.
"""

from __future__ import annotations

import re
from pathlib import Path
from traceback import StackSummary, TracebackException, extract_tb, format_list
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_OWN = f"{Path(__file__).parent.parent}/"
_CELL = re.compile(r'^(\s*)File "(Cell In\[\d+\])", line', re.MULTILINE)


def formatted(error: BaseException) -> str:
    """Format an exception. An exception without a text gets Python's usual placeholder."""
    shown = TracebackException.from_exception(error, compact=True)
    _without_own_frames(shown)
    return _CELL.sub(r"\1\2, line", "".join(shown.format()))


def in_short(trace: TracebackType | None, last_line: str) -> str:
    """Format a traceback alone, for an exception that raises when it is inspected."""
    kept = [frame for frame in extract_tb(trace) if not frame.filename.startswith(_OWN)]
    return "".join(["Traceback (most recent call last):\n", *format_list(kept), last_line, "\n"])


def _without_own_frames(shown: TracebackException) -> None:
    waiting = [shown]
    while waiting:
        part = waiting.pop()
        if part.stack:
            kept = [frame for frame in part.stack if not frame.filename.startswith(_OWN)]
            part.stack = StackSummary.from_list(kept)
        waiting += filter(None, [part.__cause__, part.__context__, *(part.exceptions or ())])
