"""The state that tasks share because they run in one process.

What can be restored is restored after each task. The rest is detected.

**Input:** the process before its first task. **Output:** after a task, whether the next one can run
in the process.

Within a run, changes by a task or an initializer (environment, working directory, signal handlers)
stay, as in any process pool. A task of another run must not find them, so the process is replaced
before that. It is also replaced when an initializer of another run has run in it, when threads of
another run's tasks still run, and when it can no longer load and run a function. The generators of
random numbers are seeded again instead.
"""

from __future__ import annotations

import builtins
import gc
import io
import locale
import logging
import mmap
import os
import pickle
import resource
import signal
import sys
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

from dolambda.wire import pickling
from dolambda.wire.kept_output import LIMIT

_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
_MODULES = (builtins, io, os, pickle, sys, tempfile, time)
_INITIALIZER = "dolambda.wrappers.initializer"  # loaded once a task brings one
_getitimer, _setitimer = signal.getitimer, signal.setitimer  # a task may replace them
_REAL = signal.ITIMER_REAL
_active: dict[int, object] = vars(threading)["_active"]
"""Python's threads. `threading.active_count` takes ten times as long as their number."""

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
        self._path = list(sys.path)
        self._threads = len(_active)
        self._modules = [(module.__name__, module) for module in _MODULES]
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
        if any(_getitimer(_REAL)):
            _setitimer(_REAL, 0)  # its signal would reach the next task
        try:
            Path.cwd()
        except FileNotFoundError:
            os.chdir(self._directory)

    def is_quiet(self) -> bool:
        """Return whether tasks have left neither threads nor a timer. Asked after each task."""
        return len(_active) <= self._threads and not _getitimer(_REAL)[0]

    def has_threads(self) -> bool:
        """Return whether tasks have left threads."""
        return len(_active) > self._threads

    def is_changed(self) -> bool:
        """Return whether tasks have made changes that another run must not find.

        Variables added to the environment may stay.
        """
        try:
            lost = self._environment.items() - dict(os.environ).items()
            kept = [entry for entry in sys.path if entry in self._path]
            return (
                bool(lost)
                or kept != self._path
                or self.has_threads()
                or _settings() != self._settings
            )
        except Exception:  # noqa: BLE001 - a task's object cannot even be compared
            return True

    def is_fit(self) -> bool:
        """Return whether functions can still be called, files opened and memory allocated."""
        try:
            import json  # noqa: PLC0415 - the import is part of the test

            return (
                json.loads(json.dumps([1])) == [1]
                and pickling.load(pickling.dump([1, "a"], "a list")[0]) == [1, "a"]
                and all(sys.modules.get(name) is module for name, module in self._modules)
                and all(callable(names.get(name)) for names, name in self._functions)
                and _can_write()
                and _can_map()
            )
        except BaseException:  # noqa: BLE001 - a task's replacement may raise anything
            return False


def seed_again() -> None:
    """Seed the global generators from the system, as in a new process.

    A seed that a task has set would make the random numbers of another run predictable.
    """
    for name in ("random", "numpy.random"):
        if module := sys.modules.get(name):
            with suppress(Exception):  # a task may have replaced it
                module.seed()


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
        tuple(signal.getsignal(number) for number in sorted(signal.valid_signals())),
        tuple(resource.getrlimit(limit) for limit in _LIMITS),
        sys.getswitchinterval(),
        sys.get_int_max_str_digits(),
        sys.gettrace(),
        sys.getprofile(),
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        logging.root.manager.disable,
        locale.setlocale(locale.LC_ALL),
        time.tzname,
        os.getpriority(os.PRIO_PROCESS, 0),
        (os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()),
        os.sched_getaffinity(0) if sys.platform == "linux" else None,
        gc.isenabled(),
        tempfile.tempdir,
        [one for one in warnings.filters if one[1:4] == (None, Warning, None)],
        *_optional_settings(),
    )


def _optional_settings() -> tuple[object, ...]:
    """Return settings of optional modules, and whether an initializer has run."""
    socket, decimal = sys.modules.get("socket"), sys.modules.get("decimal")
    contexts = (decimal.getcontext(), decimal.DefaultContext) if decimal else ()
    return (
        socket.getdefaulttimeout() if socket else None,
        len({(context.prec, context.rounding) for context in contexts}) > 1,
        bool(getattr(sys.modules.get(_INITIALIZER), "completed", ())),
    )
