"""The record of a named run, as it is in the bucket.

**Input:** the program that starts the run. **Output:** facts of the run.
"""

from __future__ import annotations

import platform
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from dolambda.version import VERSION


@dataclass(frozen=True)
class Record:
    """Facts of a run. ``begun`` and ``changed`` are in seconds since the epoch.

    Counts belong to the last start, whose jobs have numbers from ``first`` on, and whose random
    name is ``start``. It is empty once the run was cancelled by a command.
    """

    name: str
    begun: float
    changed: float
    host: str = ""
    directory: str = ""
    script: str = ""
    version: str = VERSION
    tasks: int = 0
    done: int = 0
    failed: int = 0
    restored: int = 0
    over: bool = False
    first: int = 0
    start: str = ""

    @classmethod
    def from_script(cls, name: str, first: int, before: Record | None) -> Record:
        """Return the record of a start of this program.

        ``before`` is that of the previous start.
        """
        script, now = Path(sys.argv[0]), time.time()
        there = script.is_file()
        return cls(
            name,
            before.begun if before else now,
            now,
            platform.node(),
            str(script.resolve().parent) if there else "",
            script.name if there else "",
            first=first,
            start=secrets.token_hex(8),
        )
