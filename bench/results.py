"""Where figures go: printed, and with --write kept in RESULTS.md, under this machine and today's
date, in the place of older ones.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dolambda.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).with_name("RESULTS.md")
PICTURES = Path(__file__).with_name("pictures")


def main(
    title: str, measure: Callable[[], list[str]], **alone: Callable[..., dict[str, Any]]
) -> None:
    """Measure and tell. Each of ``alone`` can be measured in a process of its own, see `apart`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="keep the figures in bench/RESULTS.md")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        name, given = chosen.alone
        print(json.dumps(alone[name](**json.loads(given))))
        return
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python "
        f"{platform.python_version()}"
    )
    command = f"python bench/{Path(sys.argv[0]).name}"
    lines = [
        f"## {title}, {datetime.now(UTC):%Y-%m-%d}, dolambda {VERSION}",
        "",
        f"`{command}` on {machine}",
        "",
        *measure(),
        "",
    ]
    print("\n".join(lines))
    if chosen.write:
        RESULTS.write_text(
            with_section(RESULTS.read_text(encoding="utf-8"), "\n".join(lines)), encoding="utf-8"
        )


def with_section(text: str, section: str) -> str:
    """Put a section, a heading ``## <title>, <date>...`` and what is under it, in the place of the
    one of its title, or last.
    """
    head, *sections = re.split(r"(?m)^(?=## )", text)
    title = section.partition(", 20")[0]
    others = [one for one in sections if one.partition(", 20")[0] != title]
    return "\n\n".join(one.strip() for one in (head, *others, section)) + "\n"


def apart(name: str, **given: Any) -> dict[str, Any]:
    """Measure one thing in a process of its own, so that no other's CPU or memory is counted with
    it.
    """
    command = [sys.executable, sys.argv[0], "--alone", name, json.dumps(given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=3600)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Stopwatch:
    """Seconds that pass, and of CPU, with those of threads; MB of memory at most."""

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def told(self, **more: Any) -> dict[str, Any]:
        """As `apart` gives it."""
        return {"wall": self.wall, "cpu": self.cpu, "peak": self.peak, **more}
