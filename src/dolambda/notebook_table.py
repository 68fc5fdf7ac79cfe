"""A small table for a notebook cell.

**Input:** names and values as text from any source. **Output:** HTML in which they are escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEFT = ' style="text-align: left"'


def notebook_table(title: str, rows: Mapping[str, str]) -> str:
    """Return a table of two columns."""
    body = "".join(
        f"<tr><th{_LEFT}>{escape(name)}</th><td{_LEFT}>{escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table><caption{_LEFT}>{escape(title)}</caption><tbody>{body}</tbody></table>"
