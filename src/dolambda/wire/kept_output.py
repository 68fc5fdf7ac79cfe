"""The output of a task that its reply holds: the beginning, and a note of what more there was.

**Input:** text, and how many bytes follow it. **Output:** one text; and back.
"""

from __future__ import annotations

import re

LIMIT = 64 * 1024
"""Most bytes of output kept of one task."""

_NOTE = re.compile(r"\n\.\.\. ([0-9,]{1,30}) bytes more were printed and are not shown\n\Z")


def with_note(kept: str, more: int) -> str:
    """Return output that was kept, with a note of the bytes that were not, if there are any."""
    if more <= 0:
        return kept
    return f"{kept}\n... {more:,} bytes more were printed and are not shown\n"


def without_note(output: str) -> tuple[str, int]:
    """Return the output that was kept, and how many bytes were not."""
    found = _NOTE.search(output)
    if found is None or len(output.encode(errors="replace")) < LIMIT:
        return output, 0
    return output[: found.start()], int(found[1].replace(",", ""))
