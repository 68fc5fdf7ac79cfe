from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import joblib
import pytest
from dask.base import get_scheduler

from dolambda import LambdaExecutor, register, unregister
from dolambda.current_session import peek
from dolambda.errors import TaskExitedError
from dolambda.joblib import complete_elsewhere
from dolambda.scheduler.results import BatchFuture
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda import Report, Session


def test_a_batch_that_is_done_while_it_is_submitted_is_completed_by_another_thread() -> None:
    batch = BatchFuture(2)
    completed_in: list[int] = []
    batch.add_done_callback(lambda _: completed_in.append(threading.get_ident()))
    with batch.filling():
        batch.receiver(2).deliver(0, [1, 2])
        assert batch.result(10) == [1, 2]
    until(lambda: bool(completed_in))
    assert completed_in != [threading.get_ident()]


def test_a_batch_of_several_chunks_waits_for_all_and_keeps_their_order() -> None:
    batch = BatchFuture(3)
    one, others = batch.receiver(1), batch.receiver(2)
    others.deliver(1, [3])
    others.deliver(0, [2])
    assert not batch.done()
    one.deliver(0, [1])
    assert batch.result(10) == [1, 2, 3]


def test_the_first_failure_fails_the_batch_once() -> None:
    batch = BatchFuture(2)
    receiver = batch.receiver(2)
    receiver.fail(0, 1, KeyError("one"))
    with pytest.raises(KeyError, match="one"):
        batch.result(10)
    receiver.fail(1, 2, ValueError("another"))
    assert isinstance(batch.exception(0), KeyError)


def test_a_cancelled_task_fails_the_batch() -> None:
    batch = BatchFuture(1)
    batch.receiver(1).withdraw(0, 1)
    assert type(batch.exception(10)).__name__ == "CancelledError"


# n_jobs, with tasks run in this process


@pytest.fixture
def session() -> Iterator[Session]:
    with register(transport="in_process", workers=3, progress=False) as opened:
        yield opened
        unregister()


def sent(session: Session, **arguments: Any) -> int:
    """Run four calls; return how many of them the session has run."""
    before = session.report().done
    assert joblib.Parallel(**arguments)(joblib.delayed(abs)(-i) for i in range(4)) == [0, 1, 2, 3]
    return session.report().done - before


def interrupt() -> None:
    raise KeyboardInterrupt("in a task")


def test_a_task_that_raises_keyboard_interrupt_raises_it_from_parallel_alone(
    session: Session,
) -> None:
    with pytest.raises(KeyboardInterrupt, match="in a task") as caught:
        joblib.Parallel(n_jobs=2)(joblib.delayed(interrupt)() for _ in range(2))
    assert isinstance(caught.value.__cause__, TaskExitedError)
    assert sent(session, n_jobs=2) == 4
    with LambdaExecutor(session=session) as executor:
        error = executor.submit(interrupt).exception(60)
    assert isinstance(error, TaskExitedError)
    assert not isinstance(error, KeyboardInterrupt)  # an event loop that awaits it goes on


def test_code_that_never_asked_for_jobs_stays_sequential(session: Session) -> None:
    assert joblib.effective_n_jobs(None) == 1
    assert sent(session) == sent(session, n_jobs=None) == 0
    assert sent(session, return_as="list", verbose=0) == 0
    with joblib.parallel_config(verbose=0):  # a block that names no backend and no n_jobs
        assert sent(session) == 0
        assert joblib.effective_n_jobs(None) == 1


@pytest.mark.parametrize("n_jobs", [-1, 2, 3, 7, -2])
def test_code_that_asks_for_jobs_gets_workers(session: Session, n_jobs: int) -> None:
    assert sent(session, n_jobs=n_jobs) == 4
    assert joblib.effective_n_jobs(n_jobs) == {-1: 3, -2: 2}.get(n_jobs, n_jobs)
    with joblib.parallel_config(n_jobs=n_jobs):
        assert sent(session) == 4


def test_in_a_block_that_names_it_none_means_all_workers(session: Session) -> None:
    with joblib.parallel_config("dolambda"):
        assert joblib.effective_n_jobs(None) == 3
        assert sent(session) == 4
        assert sent(session, n_jobs=1) == 0
    with joblib.parallel_config("dolambda", n_jobs=1):
        assert sent(session) == 0
    assert sent(session, backend="dolambda") == 4


def test_what_prefers_threads_is_moved_by_a_block_alone(session: Session) -> None:
    assert sent(session, n_jobs=2, prefer="threads") == 0
    with joblib.parallel_config("dolambda"):
        assert sent(session, n_jobs=2, prefer="threads") == 4


def test_one_job_opens_no_session() -> None:
    unregister()
    with joblib.parallel_config("dolambda", n_jobs=1):
        assert joblib.Parallel()(joblib.delayed(abs)(i) for i in range(3)) == [0, 1, 2]
    assert peek() is None


@pytest.mark.parametrize(("given", "width"), [(None, 3), (2, 2), (50, 3)])
def test_an_executor_tells_dask_how_wide_it_is(
    session: Session, given: int | None, width: int
) -> None:
    with LambdaExecutor(given, session=session) as executor:
        asked: Any = get_scheduler
        assert asked(scheduler=executor).args[1] == width


def test_where_no_thread_can_be_started_a_batch_is_completed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    batch = BatchFuture(2)
    with batch.filling():
        batch.receiver(2).deliver(0, [1, 2])
    assert batch.result(10) == [1, 2]
    refused: Future[list[Any]] = Future()
    complete_elsewhere(refused, KeyError("one"))
    assert isinstance(refused.exception(10), KeyError)


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("pre_dispatch", ["2 * n_jobs", "all"])
def test_the_total_is_right_from_the_start(pre_dispatch: str) -> None:
    xs = list(range(-300, 0))
    calls: list[Callable[[], Any]] = [
        lambda: (joblib.delayed(abs)(x) for x in xs),
        lambda: [joblib.delayed(abs)(x) for x in xs],
    ]
    for made in calls:
        reports: list[Report] = []
        with joblib.parallel_config("dolambda", progress=reports.append):
            joblib.Parallel(n_jobs=2, pre_dispatch=pre_dispatch)(made())
        assert {(report.expected, report.open_ended) for report in reports} == {(300, False)}
        assert reports[-1].done == 300


@pytest.mark.usefixtures("session")
def test_calls_of_one_parallel_are_added() -> None:
    reports: list[Report] = []
    with (
        joblib.parallel_config("dolambda", progress=reports.append),
        joblib.Parallel(n_jobs=2) as parallel,
    ):
        for _ in range(2):
            parallel(joblib.delayed(abs)(x) for x in range(10))
    assert (reports[0].expected, reports[-1].expected) == (10, 20)


@pytest.mark.usefixtures("session")
def test_a_total_that_cannot_be_known_is_open_ended() -> None:
    reports: list[Report] = []
    with joblib.parallel_config("dolambda", progress=reports.append):
        joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(x) for x in range(100) if x % 2)
    assert all(report.open_ended for report in reports)
    assert reports[-1].expected == 50


@pytest.mark.usefixtures("session")
def test_a_failed_call_leaves_nothing_to_the_next_call_of_its_block() -> None:
    """joblib keeps the batches that it had prepared, and so returns too many results with loky."""

    def inverted(number: int) -> float:
        return 1 / number

    with joblib.Parallel(n_jobs=3, batch_size=2) as parallel:
        for failing in range(20):
            with pytest.raises(ZeroDivisionError):
                parallel(joblib.delayed(inverted)(i) for i in range(-failing, 50))
            results = parallel(joblib.delayed(inverted)(i) for i in range(1, 6))
            assert results == [1 / i for i in range(1, 6)]


def test_an_executor_knows_the_total_of_a_map(session: Session) -> None:
    reports: list[Report] = []
    with LambdaExecutor(2, session=session, progress=reports.append) as executor:
        list(executor.map(abs, iter(range(-300, 0))))
        assert {report.expected for report in reports} == {300}
        list(executor.map(abs, range(-50, 0)))
    assert (reports[-1].expected, reports[-1].done) == (350, 350)
