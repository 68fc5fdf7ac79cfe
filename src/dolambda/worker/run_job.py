"""The tasks of one job, run one after the other.

**Input:** an opened `Job`, whose signature was checked. **Output:** one outcome for each task,
written as soon as it exists, unless the task ends the process.
"""

from __future__ import annotations

import pickle
import sys
import time
import traceback
import warnings
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from os import _exit, getpid
from typing import TYPE_CHECKING, Any, Protocol

from dolambda.errors import JobRefusedError
from dolambda.wire.outcome import CANCELLED, Lost, PackedOutcome
from dolambda.wire.outcome_table import entry_of
from dolambda.wire.pickling import PLAIN, RepeatedPickler
from dolambda.worker.explain import explain
from dolambda.worker.usage import UsageMeter

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from dolambda.wire.chunk import ChunkPart
    from dolambda.wire.job import Job
    from dolambda.worker.blob_cache import BlobCache
    from dolambda.worker.outcome_writer import OutcomeWriter

SHORT_S = 1e-3
"""Seconds below which CPU and memory of a task are not measured: measuring takes as long."""

BRIEF_S = 5e-6
"""Seconds in which a task can neither fork nor remove a directory: the system's part of that takes
longer. It can set a timer or close a descriptor, which the next task must not find."""

_JOBLIB = "joblib.parallel"

# Taken at import: a task that replaces them harms only itself.
_clock = time.perf_counter
_loads, _dumps = pickle.loads, pickle.dumps


class _Never(Warning):
    """A warning that is never issued."""


@dataclass(frozen=True, slots=True)
class Measures:
    """The resources that a task took, see `OutcomeTable`."""

    started: float
    seconds: float
    cpu: float = 0.0
    peak: float = 0.0

    def __iter__(self) -> Any:
        """Yield the measures in the order of the columns."""
        return iter((self.started, self.seconds, self.cpu, self.peak))


class Surroundings(Protocol):
    """The process around the tasks, and what it does between two of them."""

    def is_stopped(self) -> bool:
        """Return whether to leave out the rest of the job.

        It is called before a task, but at most once each `SHORT_S`.
        """
        ...

    def after_short_task(self, now: float, *, brief: bool) -> str:
        """Do what `after_task` does, as far as it is needed after a task of less than `SHORT_S`.

        ``now`` is the time of `time.perf_counter`. A ``brief`` task took less than `BRIEF_S`.
        """
        ...

    def after_task(self) -> str:
        """Restore what tasks share, and return the task's output."""
        ...

    def is_unfit_after(self, *, called: bool) -> bool:
        """Return whether the process must end after this failed task.

        ``called`` is True if the task's function was called.
        """
        ...

    def overflow(self, kind: int, entry: bytes, measures: Measures) -> None:
        """Accept an outcome for which the writer has no room."""
        ...

    def end_with(self, kind: int, entry: bytes, measures: Measures) -> None:
        """Accept the outcome of the last task of this process."""
        ...

    def note_calls(self) -> None:
        """Record that a user's functions are about to be called."""
        ...


class PlainSurroundings:
    """A process that does nothing between two tasks.

    ``stopped`` returns whether to leave out the rest.
    """

    def __init__(self, stopped: Callable[[], bool] = lambda: False) -> None:
        self._stopped = stopped

    def is_stopped(self) -> bool:
        """See `Surroundings`."""
        return self._stopped()

    def after_short_task(self, now: float, *, brief: bool) -> str:
        """See `Surroundings`."""
        return ""

    def after_task(self) -> str:
        """See `Surroundings`."""
        return ""

    def is_unfit_after(self, *, called: bool) -> bool:
        """See `Surroundings`."""
        return False

    def overflow(self, kind: int, entry: bytes, measures: Measures) -> None:
        """See `Surroundings`."""
        raise MemoryError("there is no room for an outcome")

    def end_with(self, kind: int, entry: bytes, measures: Measures) -> None:
        """See `Surroundings`."""

    def note_calls(self) -> None:
        """See `Surroundings`."""


class TaskRunner:
    """Runner of the tasks of jobs in this process.

    Args:
        cache: Functions and blobs.
        around: The process around the tasks.
    """

    def __init__(self, cache: BlobCache, around: Surroundings) -> None:
        self._cache = cache
        self._around = around
        self._pickler = RepeatedPickler()
        self._meter = UsageMeter()
        self._process = getpid()
        self._began = self._cpu = 0.0
        self._nesting: int | None = None
        self._contexts = ExitStack()

    def run(self, job: Job, writer: OutcomeWriter) -> bool:
        """Run all tasks of a job. Return False if this process must not run another task."""
        self._cache.hold(job.inline)
        self._began = _clock()
        self._cpu = self._meter.read().cpu
        # A change of the filters makes Python forget its past warnings, so each job warns again.
        warnings.simplefilter("ignore", _Never, append=True)
        self._nesting = job.context.nesting
        with ExitStack() as self._contexts:
            return all(self._run_part(part, job, writer) for part in job.parts)

    def _run_part(self, part: ChunkPart, job: Job, writer: OutcomeWriter) -> bool:
        """Run tasks of one function.

        A short task with a plain result takes a faster way.
        """
        clock, dumps, around, began = _clock, _dumps, self._around, self._began
        pid, process = getpid, self._process
        add, after_short_task = writer.add_short_value, around.after_short_task
        calls, index = _Calls(part, self._cache, job), part.first
        start = looked = clock()
        stopped = False
        for position in range(len(part)):
            outcome = None
            entry = b""
            if start - looked > SHORT_S or not position:
                looked, stopped, call = start, around.is_stopped(), self._caller(calls)
            if stopped:
                outcome = _cancelled(index)
            else:
                try:
                    value = call(position)
                    if type(value) in PLAIN:
                        entry = dumps(value, 5)
                    else:
                        outcome = self._packed(index, value)
                        del value  # its `__del__` is called before its outcome leaves
                except BaseException as error:  # noqa: BLE001 - a task may raise anything
                    outcome = self._failure(index, error)
            now = clock()
            seconds = now - start
            if seconds >= BRIEF_S and pid() != process:
                _end_fork(None)
            if outcome is None and seconds < SHORT_S:
                output = after_short_task(now, brief=seconds < BRIEF_S)
                if not output and add(entry, start - began, seconds):
                    self._cpu += seconds
                    index, start, calls.called = index + 1, clock(), False
                    continue
            else:
                output = around.after_task()
            outcome = replace(outcome or PackedOutcome(index, "value", entry), output=output)
            if not self._write(outcome, start, now, writer, called=calls.called):
                return False
            index, start, calls.called = index + 1, clock(), False
        return True

    def _caller(self, calls: _Calls) -> Callable[[int], object]:
        """Return a function that calls a task's function.

        In a process that the task has forked it raises nothing.
        """
        load, process, pid, around = calls.load, self._process, getpid, self._around
        if calls.any_called and (plain := calls.plain()):
            return self._plain_caller(calls, *plain)

        def call(position: int) -> object:
            function, args, kwargs = load(position)
            self._enter_joblib()
            if not calls.any_called:
                around.note_calls()
            calls.called = calls.any_called = True
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                if pid() != process:
                    _end_fork(error)
                raise

        return call

    def _plain_caller(
        self, calls: _Calls, function: Callable[..., Any], view: memoryview, ends: array[int]
    ) -> Callable[[int], object]:
        """Return what `_caller` does, for later tasks of a part without keywords and buffers."""
        loads, process, pid, modules = _loads, self._process, getpid, sys.modules
        nests = self._nesting is not None

        def call(position: int) -> object:
            args = loads(view[ends[position - 1] : ends[position]])
            if nests and _JOBLIB in modules:
                self._enter_joblib()
            calls.called = True
            try:
                return function(*args)
            except BaseException as error:
                if pid() != process:
                    _end_fork(error)
                raise

        return call

    def _enter_joblib(self) -> None:
        """Enter the context of joblib's own batches once a task has imported joblib."""
        if self._nesting is not None and (context := _nested_in_joblib(self._nesting)):
            self._contexts.enter_context(context)
            self._nesting = None

    def _packed(self, index: int, value: object) -> PackedOutcome:
        """Pack a value. A value that cannot be pickled becomes a failure that explains it."""
        try:
            payload, apart = self._pickler.dump(value)
        except BaseException:  # noqa: BLE001
            # A class may raise anything: the slow way finds out what.
            return PackedOutcome.from_value(index, value, 0.0)
        # Copied: the buffers belong to the value, which is deleted before they are written.
        return PackedOutcome(index, "value", payload, [bytes(buffer) for buffer in apart])

    def _failure(self, index: int, error: BaseException) -> PackedOutcome:
        explain(error)
        return PackedOutcome.from_exception(index, error, 0.0)

    def _write(
        self,
        outcome: PackedOutcome,
        start: float,
        now: float,
        writer: OutcomeWriter,
        *,
        called: bool,
    ) -> bool:
        """Write an outcome with the measures of its task. Return False if it is the last."""
        used, before = self._meter.read(), self._cpu
        self._cpu = used.cpu
        cpu = max(0.0, used.cpu - before)
        measures = Measures(start - self._began, now - start, cpu, used.peak)
        kind, parts = entry_of(outcome)
        entry = b"".join(parts)
        if outcome.kind == "failure" and self._around.is_unfit_after(called=called):
            self._around.end_with(kind, entry, measures)
            return False
        if not writer.add(kind, entry, *measures):
            self._around.overflow(kind, entry, measures)
        return True


class _Calls:
    """The calls of one part of a job.

    ``called`` is True if the current task's function was called, ``any_called`` if that of a task
    was.
    """

    __slots__ = (
        "_begins",
        "_buffers",
        "_cache",
        "_code",
        "_function",
        "_keywords",
        "_language",
        "_part",
        "_run",
        "_shared",
        "_view",
        "any_called",
        "called",
    )

    def __init__(self, part: ChunkPart, cache: BlobCache, job: Job) -> None:
        self._part = part
        self._cache = cache
        self._code = job.code
        self._run = job.run
        self._language = job.context.language
        self._shared = job.context.nesting is not None  # joblib's tasks share large arrays
        self._view = part.payload
        self._buffers = part.buffers
        self._keywords = part.chunk.keywords
        self._function: Any = None
        self._begins = part.ends
        self.called = self.any_called = False

    def plain(self) -> tuple[Callable[..., Any], memoryview, array[int]] | None:
        """Return function, pickles and their ends if they are all that a call needs."""
        if self._function is None or self._keywords or self._buffers:
            return None
        return self._function, self._view, self._begins

    def load(self, position: int) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Return function and arguments of a task."""
        if self._function is None:
            if self._code:
                self._cache.add_code(self._code)
            digest = self._part.chunk.function
            function = self._cache.function(digest, self._run, shared=self._shared)
            _refuse_other_language(function, self._language)
            self._function = function
        ends = self._begins
        pickled = self._view[ends[position - 1] if position else 0 : ends[position]]
        if position in self._buffers:
            digests, shared = self._buffers[position], self._shared
            held = [self._cache.argument(digest, shared=shared) for digest in digests]
            call = _loads(pickled, buffers=held)
        else:
            call = _loads(pickled)
        return (self._function, *call) if self._keywords else (self._function, call, {})


def _cancelled(index: int) -> PackedOutcome:
    lost = Lost(CANCELLED, f"task {index} was cancelled before it began")
    return PackedOutcome.from_lost(index, lost)


def _end_fork(error: BaseException | None) -> None:
    """End a process that the task has forked and that also reached the end of the task.

    It ends as a Python program would.
    """
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or replaced by the task
            stream.flush()
    _exit(code & 0xFF)


def _refuse_other_language(function: object, language: str) -> None:
    found = getattr(type(function), "dolambda_language", "python")
    if found != language:
        raise JobRefusedError(
            f"a task of {found} is in a job of {language}",
            hint="Sessions of both languages can share a stack, but not a job.",
        )


def _nested_in_joblib(level: int) -> AbstractContextManager[object] | None:
    """Return the context of joblib's own batches, or None if no task has imported joblib."""
    joblib: Any = sys.modules.get(_JOBLIB)
    if joblib is None:
        return None
    # joblib has no types.
    return joblib.parallel_config(joblib.SequentialBackend(nesting_level=level), n_jobs=None)  # type: ignore[no-any-return]
