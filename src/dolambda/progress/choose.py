"""The form of the display.

**Input:** the setting ``progress``. **Output:** the function that gets reports.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from dolambda.notebook_display import in_notebook
from dolambda.progress.log_lines import LogLines
from dolambda.progress.notebook import NotebookDisplay
from dolambda.progress.terminal import Bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.progress.words import Label
    from dolambda.scheduler.report import Report


DISPLAY_S = 0.1
"""Seconds between two reports that a display needs: a report takes as long as many tasks."""


# The setting.
def display(wanted: bool | None, label: Label) -> Callable[[Report], None] | None:  # noqa: FBT001
    """Return the display for the reports of one run, or None."""
    if wanted is False or sys.stderr is None:
        return None
    if in_notebook():
        return NotebookDisplay(label)
    return Bar(label) if _is_terminal() else LogLines(label)


def _is_terminal() -> bool:
    with contextlib.suppress(AttributeError, ValueError, OSError):  # a closed or an unusual stream
        return sys.stderr.isatty()
    return False
