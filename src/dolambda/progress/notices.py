"""Single lines that the user has to see.

**Input:** text. **Output:** a line on standard error, broken between words if a terminal is narrow.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import textwrap


def notice(text: str) -> None:
    """Print a line for the user, even one who shows no log."""
    if sys.stderr is not None:  # None in a service
        with contextlib.suppress(OSError, ValueError):
            print(_fitted(f"dolambda: {text}"), file=sys.stderr, flush=True)  # noqa: T201 - for the user


def _fitted(line: str) -> str:
    """Return a line as it is shown. A terminal would break it within words."""
    width = shutil.get_terminal_size().columns
    if not sys.stderr.isatty() or len(line) <= width or "\n" in line:
        return line
    return textwrap.fill(
        line,
        width,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
