"""Tasks of microseconds take a faster way, which keeps every promise of the slower one."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import joblib

from dolambda.wire.outcome import Failure, Value
from dolambda.wire.packer import Packer
from dolambda.wire.task import TaskContext
from dolambda.worker.blob_cache import BlobCache
from dolambda.worker.outcome_writer import MemoryWriter
from dolambda.worker.run_job import PlainSurroundings, TaskRunner
from dolambda.worker.worker import Worker
from support.worker_jobs import KEY, Source, job_of, run

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from dolambda.wire.job import Job

COUNT, ODD = 4000, 2500  # tasks, and the one among them that is not like the others


def many(function: Callable[[int], Any], **context: Any) -> Job:
    packed: list[Any] = list(
        Packer(same_buffers=False).pack(function, zip(range(COUNT), strict=True), 0)
    )
    return job_of(packed, context=TaskContext(**context))


def run_here(job: Job) -> list[Any]:
    writer = MemoryWriter()
    blobs: Any = Source()
    assert TaskRunner(BlobCache(blobs, 1 << 20), PlainSurroundings()).run(job, writer)
    return [packed.open() for packed in writer.table(job.indexes())]


def test_an_error_between_short_tasks_is_its_tasks_own() -> None:
    def invert(i: int) -> float:
        return 1 / (i - ODD)

    found = run_here(many(invert))
    assert isinstance(found.pop(ODD), Failure)
    assert found == [Value(1 / (i - ODD)) for i in range(COUNT) if i != ODD]


def test_joblibs_context_holds_from_the_first_task_after_one_imported_joblib(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "set_aside", joblib.parallel)
    monkeypatch.delitem(sys.modules, "joblib.parallel")

    def level(i: int) -> int | None:
        module: Any = sys.modules["set_aside"]
        if i == ODD:
            sys.modules["joblib.parallel"] = module
        found: int | None = module.get_active_backend()[0].nesting_level
        return found

    outside = level(0)
    found = run_here(many(level, nesting=7))
    assert found == [Value(outside if i <= ODD else 7) for i in range(COUNT)]


def test_a_process_that_a_short_task_forks_ends_with_its_error() -> None:
    def fork(i: int) -> int:
        if i == ODD:
            pid = os.fork()
            if not pid:
                raise ValueError("in the other process")
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return 0

    worker = Worker(Source(), KEY)
    try:
        found = [one.open() for one in run(worker, many(fork)).outcomes]
    finally:
        worker.close()
    assert found == [Value(int(i == ODD)) for i in range(COUNT)]
