"""CPU and memory of this process and of its descendants.

**Input:** counts of the system. **Output:** seconds, and megabytes.

A task may start programs, and may leave them running, like R's tasks. They use the worker's memory
too. Ended processes are in the system's totals, running ones are found in /proc.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

try:
    import resource
except ModuleNotFoundError:  # on Windows, where tasks run only in the client's own process
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator

# Taken at import: a task that replaces them harms only itself.
_process_time, _clock, _getpid = time.process_time, time.perf_counter, os.getpid
_getrusage = getattr(resource, "getrusage", None)
_waitid = getattr(os, "waitid", None)

_UNITS_PER_MB = 1 << 20 if sys.platform == "darwin" else 1 << 10  # of ru_maxrss, getrusage(2)
_KB_PER_MB = 1 << 10
_OLD_S = 0.02


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """CPU time in seconds so far, and the largest memory in MB, 0 if not reported."""

    cpu: float = 0.0
    peak: float = 0.0


class UsageMeter:
    """Meter of this process and its descendants. Not thread-safe."""

    def __init__(self) -> None:
        self._looked = 0.0
        self._live = ProcessUsage()

    def read(self) -> ProcessUsage:
        """Return the usage so far.

        Of processes that have ended, only the largest counts. It counts at least the memory that
        this process used when it started it: Linux keeps the maximum across exec.
        """
        if not _getrusage:
            return ProcessUsage(_process_time())
        own, ended = _getrusage(resource.RUSAGE_SELF), _getrusage(resource.RUSAGE_CHILDREN)
        live = self._of_live()
        peak = float(own.ru_maxrss + ended.ru_maxrss) / _UNITS_PER_MB
        cpu = _process_time() + float(ended.ru_utime + ended.ru_stime)
        return ProcessUsage(cpu + live.cpu, peak + live.peak)

    def _of_live(self) -> ProcessUsage:
        """Return the usage of all descendants, at most `_OLD_S` old."""
        try:
            if not _has_children():
                self._live = ProcessUsage()
            elif self._live == ProcessUsage() or _clock() - self._looked > _OLD_S:
                found = list(_descendants(_getpid()))
                self._live = ProcessUsage(sum(map(_cpu_of, found)), sum(map(_peak_of, found)))
                self._looked = _clock()
        except Exception:  # noqa: BLE001
            # A task may have replaced functions used here. Its outcome is worth more.
            self._live = ProcessUsage()
        return self._live


def _has_children() -> bool:
    if not _waitid:
        return False
    try:
        _waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _descendants(process: int) -> Iterator[int]:
    """Yield the processes below a process."""
    try:
        threads = os.listdir(f"/proc/{process}/task")  # noqa: PTH208 - pathlib takes twice as long
    except OSError:  # it has just ended
        return
    for thread in threads:
        for child in _read(f"/proc/{process}/task/{thread}/children").split():
            yield int(child)
            yield from _descendants(int(child))


def _cpu_of(process: int) -> float:
    """Return the seconds of a process and of its ended children, 0 if it has just ended."""
    # The name, in parentheses, may contain anything. After it: state is field 3, utime field 14.
    fields = _read(f"/proc/{process}/stat").rpartition(b")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_SECOND


def _peak_of(process: int) -> float:
    found = _read(f"/proc/{process}/status").partition(b"VmHWM:")[2].split()
    return int(found[0]) / _KB_PER_MB if found else 0.0


def _read(path: str) -> bytes:
    """Return a file of /proc, empty if its process has just ended."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - pathlib takes twice as long
            return file.read()
    except OSError:
        return b""


_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
