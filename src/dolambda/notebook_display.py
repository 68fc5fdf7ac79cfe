"""A display of a notebook that is updated in its place.

**Input:** a bundle of MIME types. **Output:** a display of IPython.
"""

from __future__ import annotations

import sys
from html import escape
from typing import Any

Handle = Any
"""IPython's DisplayHandle: it has ``update(content, raw=True)``."""


def in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this: its shell is not a terminal's."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def new_display(content: dict[str, str]) -> Handle:
    """Show the content; return the handle by which it is updated."""
    from IPython.display import display  # noqa: PLC0415 - only in a notebook

    show: Any = display  # which has no types
    return show(content, raw=True, display_id=True)


def content_of(line: str, before: str = "") -> dict[str, str]:
    """Return a line of text as content. ``before`` is HTML in front of it."""
    return {"text/plain": line, "text/html": f"<div>{before}{escape(line)}</div>" if line else ""}
