"""Single lines that the user has to see.

**Input:** text. **Output:** a line on standard error.
"""

from __future__ import annotations

import contextlib
import sys


def notice(text: str) -> None:
    """Print a line for the user, even one who shows no log."""
    if sys.stderr is not None:  # None in a service
        with contextlib.suppress(OSError, ValueError):
            print(f"dolambda: {text}", file=sys.stderr, flush=True)  # noqa: T201 - for the user
