"""The place in the user's code that a warning is about.

**Input:** the stack. **Output:** a ``stacklevel`` for `warnings.warn`.
"""

from __future__ import annotations

import sys

_OURS = __name__.partition(".")[0]


def users_stacklevel() -> int:
    """Return the stacklevel of the caller's nearest caller outside dolambda."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - as `warnings` itself does
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == _OURS:
        level, frame = level + 1, frame.f_back
    return level
