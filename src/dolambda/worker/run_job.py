"""Run the tasks of one job, one after the other.

On entry: an opened `Job`, whose signature has been checked. On leaving: one `PackedOutcome` for every task, as each is
done, whatever the task did short of ending the process.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from contextlib import nullcontext, suppress
from dataclasses import replace
from os import _exit, getpid
from time import perf_counter
from typing import TYPE_CHECKING, Any

from dolambda.errors import JobRefusedError
from dolambda.wire import pickling
from dolambda.wire.outcome import CANCELLED, Lost, PackedOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from dolambda.wire.task import Job, PackedTask, Surroundings
    from dolambda.worker.shelf import Shelf


class Never(Warning):
    """A warning that nobody gives."""


def run_job(
    job: Job,
    shelf: Shelf,
    *,
    stopped: Callable[[], bool],
    output: Callable[[], str],
    called: Callable[[], None] = lambda: None,
) -> Iterator[PackedOutcome]:
    """Run until done or ``stopped()``, asked between tasks; ``output()`` gives what was printed since it was last asked.

    ``called()`` is called before each function is: once the function and its arguments are loaded.
    """
    shelf.hold(job.inline)
    for task in job.tasks:
        if stopped():
            yield PackedOutcome.from_lost(
                task.index, Lost(CANCELLED, f"task {task.index} was cancelled before it began")
            )
            continue
        warnings.simplefilter(
            "ignore", Never, append=True
        )  # any change makes Python forget what it has warned of: each task warns
        begun = perf_counter()
        try:
            if job.code:
                shelf.add_code(job.code)
            # No name for the value here: a result's `__del__` is called before its outcome leaves.
            outcome = PackedOutcome.from_value(
                task.index,
                _call(task, shelf, job.surroundings, called),
                perf_counter() - begun,
            )
        except BaseException as error:  # noqa: BLE001 - a task may raise anything, SystemExit and KeyboardInterrupt too
            _explain(error)
            outcome = PackedOutcome.from_exception(task.index, error, perf_counter() - begun)
        yield replace(outcome, output=output(), task=task.identity)


def _call(
    task: PackedTask, shelf: Shelf, surroundings: Surroundings, called: Callable[[], None]
) -> object:
    function = shelf.function(task.function)
    _refuse_other_language(function, surroundings.language)
    args, kwargs = pickling.load(task.payload, [shelf.argument(digest) for digest in task.buffers])
    called()
    process = getpid()
    try:
        with _nested_in_joblib(surroundings.nesting):
            value = function(*args, **kwargs)
    except BaseException as error:
        if getpid() != process:
            _end_fork(error)
        raise
    if getpid() != process:
        _end_fork(None)
    return value


def _end_fork(error: BaseException | None) -> None:
    """End a process that the task has forked and that has come to the task's end too, as a Python program would."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or the task's own
            stream.flush()
    _exit(code & 0xFF)


def _refuse_other_language(function: object, language: str) -> None:
    found = getattr(type(function), "dolambda_language", "python")
    if found != language:
        raise JobRefusedError(
            f"a task of {found} is in a job of {language}",
            hint="Sessions of both languages may share a stack, but not a job.",
        )


def _nested_in_joblib(level: int | None) -> AbstractContextManager[object]:
    """What joblib puts around its own batches. A task that has joblib has imported it by now; the others need none."""
    joblib: Any = sys.modules.get("joblib.parallel")
    if level is None or joblib is None:
        return nullcontext()
    return joblib.parallel_config(joblib.SequentialBackend(nesting_level=level), n_jobs=None)  # type: ignore[no-any-return] # no types


def _explain(error: BaseException) -> None:
    if isinstance(error, ModuleNotFoundError) and error.name:
        first = error.name.partition(".")[0]
        error.add_note(
            f"The worker has no module {error.name!r}. If it is of a package, add the package: "
            f"dolambda.register('local', extra_requires=[...]), or `dolambda deploy --extra-requires ...`; "
            f"requires=[...] would replace all that workers have. If it is your own, "
            f"name it: include_code=[{first!r}]."
        )
