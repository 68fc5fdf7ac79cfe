"""Single lines that a user has to see. **Input:** text. **Output:** a line on standard error."""

from __future__ import annotations

import contextlib
import sys


def notice(text: str) -> None:
    """Print a line that the user has to see, even one who shows no log."""
    if sys.stderr is not None:  # as in a service
        with contextlib.suppress(OSError, ValueError):
            print(f"dolambda: {text}", file=sys.stderr, flush=True)  # noqa: T201 - for the user
