"""Run the tasks of one job, one after the other.

On entry: an opened `Job`, whose signature has been checked. On leaving: one `PackedOutcome` for every task, as each is
done, whatever the task did short of ending the process.
"""

from __future__ import annotations

import sys
import time
import warnings
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dolambda.wire import pickling
from dolambda.wire.outcome import CANCELLED, Lost, PackedOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from dolambda.wire.task import Job, PackedTask
    from dolambda.worker.shelf import Shelf


class Never(Warning):
    """A warning that nobody gives."""


def run_job(
    job: Job, shelf: Shelf, *, stopped: Callable[[], bool], output: Callable[[], str]
) -> Iterator[PackedOutcome]:
    """Run until done or ``stopped()``, asked between tasks; ``output()`` gives what was printed since it was last asked."""
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
        begun = time.perf_counter()
        try:
            if job.code:
                shelf.add_code(job.code)
            value = _call(task, shelf, job.surroundings.nesting)
            outcome = PackedOutcome.from_value(task.index, value, time.perf_counter() - begun)
        except BaseException as error:  # noqa: BLE001 - a task may raise anything, SystemExit and KeyboardInterrupt too
            _explain(error)
            outcome = PackedOutcome.from_exception(task.index, error, time.perf_counter() - begun)
        yield replace(outcome, output=output(), task=task.identity)


def _call(task: PackedTask, shelf: Shelf, nesting: int | None) -> object:
    function = shelf.function(task.function)
    args, kwargs = pickling.load(task.payload, [shelf.argument(digest) for digest in task.buffers])
    with _nested_in_joblib(nesting):
        return function(*args, **kwargs)


def _nested_in_joblib(level: int | None) -> AbstractContextManager[object]:
    """What joblib puts around its own batches. A task that has joblib has imported it by now; the others need none."""
    joblib: Any = sys.modules.get("joblib.parallel")
    if level is None or joblib is None:
        return nullcontext()
    return joblib.parallel_config(joblib.SequentialBackend(nesting_level=level), n_jobs=None)  # type: ignore[no-any-return] # no types


def _explain(error: BaseException) -> None:
    if isinstance(error, ModuleNotFoundError) and error.name:
        error.add_note(
            f"The worker has no module {error.name!r}. If it is installed here, deploy the stack with it among its requires "
            f"(for the local one: dolambda.register('local', requires=[...]))."
        )
