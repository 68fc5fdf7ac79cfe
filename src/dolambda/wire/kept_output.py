"""The output of a task in its reply: the beginning, and a note of the number of other bytes.

**Input:** text, and the number of bytes after it. **Output:** one text. The same in reverse.
"""

from __future__ import annotations

import re

LIMIT = 64 * 1024
"""Largest number of bytes kept of one task's output."""

_NOTE = re.compile(r"\n\.\.\. ([0-9,]{1,30}) bytes more were printed and are not shown\n\Z")


def with_note(kept: str, more: int) -> str:
    """Return the kept output, with a note of the number of other bytes, if any."""
    if more <= 0:
        return kept
    return f"{kept}\n... {more:,} bytes more were printed and are not shown\n"


def without_note(output: str) -> tuple[str, int]:
    """Return the kept output, and the number of other bytes."""
    found = _NOTE.search(output)
    if found is None or len(output.encode(errors="replace")) < LIMIT:
        return output, 0
    return output[: found.start()], int(found[1].replace(",", ""))
