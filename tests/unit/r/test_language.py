"""A job names the language of its tasks, and a child of the worker runs those of one language."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda.errors import JobRefusedError
from dolambda.r.function import Part, RFunction
from dolambda.wire.job import Job
from dolambda.wire.outcome import Failure, Value
from dolambda.wire.task import TaskContext
from dolambda.worker.worker import Worker
from support.worker_jobs import KEY, Source, job, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")

R_TASK = RFunction("session", "/nowhere", [Part.from_bytes(b"what tasks share")])


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(Source(), KEY)
    yield made
    made.close()


def of_r(function: Callable[..., object], *args: object) -> Job:
    made = job((function, args))
    return replace(made, context=replace(made.context, language="r"))


def test_the_language_travels_with_the_job() -> None:
    for language in ("python", "r"):
        surroundings = TaskContext(language=language)
        made = replace(job((len, ("a",))), context=surroundings)
        assert Job.from_bytes(made.to_bytes(KEY), KEY).context == surroundings


def test_a_python_child_refuses_a_task_of_r(worker: Worker) -> None:
    outcome = run(worker, job((R_TASK, (b"",)))).outcomes[0].open()
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.exception, JobRefusedError)
    assert str(outcome.exception).startswith("a task of r is in a job of python\n")


def test_a_child_for_r_refuses_a_task_of_python(worker: Worker) -> None:
    outcome = run(worker, of_r(len, "a")).outcomes[0].open()
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.exception, JobRefusedError)


def test_a_job_of_another_language_gets_a_child_of_its_own(worker: Worker) -> None:
    def child() -> int:
        outcome = run(worker, job((os.getpid, ()))).outcomes[0].open()
        assert isinstance(outcome, Value)
        return int(outcome.value)

    first = child()
    assert child() == first
    run(worker, of_r(len, "a"))
    assert child() != first
