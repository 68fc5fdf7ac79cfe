"""The state of a recorded run.

**Input:** the header and the footer of its record. **Output:** one word.
"""

from __future__ import annotations

import platform
from typing import Any

from dolambda.running_process import is_running

RUNNING = "running"


def run_state(header: dict[str, Any], footer: dict[str, Any] | None) -> str:
    """Return "complete", "cancelled", "running", or "unfinished" for a run that was killed."""
    if footer:
        ended = footer["done"] + footer["failed"]
        return "complete" if ended >= footer.get("expected", footer["tasks"]) else "cancelled"
    if header.get("host") == platform.node() and is_running(int(header["pid"])):
        return RUNNING
    return "unfinished"
