"""The state that tasks share because they run in one process.

What can be restored is restored after each task. The rest is detected.

**Input:** the process before its first task. **Output:** after a task, whether the next one can run
in the process.

Within a run, changes by a task or an initializer (environment, working directory, signal handlers)
stay, as in any process pool. A task of another run must not find them, so the process is replaced
before that. It is also replaced when it can no longer load and run a function.
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
from dolambda.wire.kept_output import LIMIT

_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
_MODULES = (builtins, io, os, pickle, tempfile, time)
_MAPPED = 4 << 20  # bytes of memory that a task needs at least to run


class ProcessState:
    """The state of the process before its first task."""

    def __init__(self) -> None:
        """Record the state."""
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
        """Restore what the next task needs."""
        if sys.getrecursionlimit() < self._recursion_limit:
            sys.setrecursionlimit(self._recursion_limit)
        try:
            Path.cwd()
        except FileNotFoundError:
            os.chdir(self._directory)

    def is_changed(self) -> bool:
        """Return whether tasks have made changes that another run must not find.

        Variables added to the environment may stay.
        """
        try:
            lost = self._environment.items() - dict(os.environ).items()
            return bool(lost) or _settings() != self._settings
        except Exception:  # noqa: BLE001 - a task's object cannot even be compared
            return True

    def is_fit(self) -> bool:
        """Return whether functions can still be called, files opened and memory allocated."""
        try:
            import json  # noqa: PLC0415 - the import is part of the test

            return (
                json.loads(json.dumps([1])) == [1]
                and pickling.load(pickling.dump([1, "a"], "a list")[0]) == [1, "a"]
                and all(callable(names.get(name)) for names, name in self._functions)
                and _can_write()
                and _can_map()
            )
        except BaseException:  # noqa: BLE001 - a task's replacement may raise anything
            return False


def _can_write() -> bool:
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open(os.devnull, "wb"):  # noqa: PTH123 - the test is for the built-in function
        return most == resource.RLIM_INFINITY or most > LIMIT


def _can_map() -> bool:
    with mmap.mmap(-1, _MAPPED):
        return True


def _settings() -> tuple[object, ...]:
    """Return settings that no import changes, but a task may change."""
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
