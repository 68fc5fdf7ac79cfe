"""What tasks share because they run in one process: put back what can be put back, and find what cannot.

**Input:** the process as it is before its first task. **Output:** after a task, whether the next
one can run in it.

Within a run, what a task or an initializer sets (environment, working directory, signal handlers)
stays, as in any pool of processes. A task of another run finds none of it: then the process is
replaced. So it is when it can no longer load and run a function.
"""

from __future__ import annotations

import builtins
import io
import logging
import mmap
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from dolambda.wire import pickling
from dolambda.worker.capture import LIMIT

_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
_MODULES = (builtins, io, os, pickle, tempfile, time)
_MAPPED = 4 << 20  # bytes of memory without which no task can run


class ProcessState:
    """The process as it was before its first task."""

    def __init__(self) -> None:
        """Take note of it."""
        self._directory = Path.cwd()
        self._recursion_limit = sys.getrecursionlimit()
        self._environment = dict(os.environ)
        self._environment.pop("PYTHONPATH", None)  # dolambda sets it: see import_path.py
        self._settings = _settings()
        self._functions = [
            (vars(module), name)
            for module in _MODULES
            for name, value in vars(module).items()
            if callable(value)
        ]

    def put_back(self) -> None:
        """Put back what the next task cannot do without."""
        if sys.getrecursionlimit() < self._recursion_limit:
            sys.setrecursionlimit(self._recursion_limit)
        try:
            Path.cwd()
        except FileNotFoundError:
            os.chdir(self._directory)

    def is_changed(self) -> bool:
        """Tell whether tasks have set what another run should not find: what they added to the environment may stay."""
        try:
            lost = self._environment.items() - dict(os.environ).items()
            return bool(lost) or _settings() != self._settings
        except Exception:  # noqa: BLE001 - a task has put something there that cannot even be compared
            return True

    def is_fit(self) -> bool:
        """Tell whether functions can still be loaded and called, files opened and memory had."""
        try:
            import json  # noqa: PLC0415 - importing is part of what is tried

            return (
                json.loads(json.dumps([1])) == [1]
                and pickling.load(pickling.dump([1, "a"], "a list")[0]) == [1, "a"]
                and all(callable(names.get(name)) for names, name in self._functions)
                and _can_write()
                and _can_map()
            )
        except BaseException:  # noqa: BLE001 - what a task has put in the place of these functions may raise anything
            return False


def _can_write() -> bool:
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open(os.devnull, "wb"):  # noqa: PTH123 - the built-in function is what is tried
        return most == resource.RLIM_INFINITY or most > LIMIT


def _can_map() -> bool:
    with mmap.mmap(-1, _MAPPED):
        return True


def _settings() -> tuple[object, ...]:
    """What no import changes, but a task may."""
    mask = os.umask(0o077)
    os.umask(mask)
    return (
        mask,
        Path.cwd(),
        any(signal.getitimer(signal.ITIMER_REAL)),
        tuple(signal.getsignal(number) for number in sorted(signal.valid_signals())),
        tuple(resource.getrlimit(limit) for limit in _LIMITS),
        sys.getswitchinterval(),
        logging.root.manager.disable,
    )
