"""What happens when an executor, or the generator of a loop, is garbage collected."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import joblib
import pytest

from dolambda import LambdaExecutor, foreach, register, unregister
from dolambda.session import Session
from dolambda.settings import Settings
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def session() -> Iterator[Session]:
    with register(transport="in_process", workers=2, progress=False) as opened:
        yield opened
    unregister()


def drop_in_a_cycle(session: Session) -> None:
    executor = LambdaExecutor(session=session)
    executor.itself = executor  # type: ignore[attr-defined] # only the collector finds it


class Owner:
    """Something in a cycle that only the collector finds."""

    def __init__(self, values: Iterator[int]) -> None:
        self.values, self.itself = values, self


def loop() -> Iterator[int]:
    return foreach(i=range(50)).stream(lambda i: 2 * i)


def joblib_call() -> Iterator[int]:
    return doubled_by(joblib.Parallel(n_jobs=2, return_as="generator"))


def doubled_by(parallel: joblib.Parallel) -> Iterator[int]:
    values: Iterator[int] = parallel(joblib.delayed(lambda i: 2 * i)(i) for i in range(50))
    return values


def collect_with_the_lock(session: Session) -> None:
    """The collector may run at any allocation, also while this session's runs are counted."""
    with session._accounts._lock:
        gc.collect()


def in_a_thread(call: Callable[[], object]) -> None:
    """A thread that waits for itself must not be that of the tests."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore:.*tasks which were")
@pytest.mark.parametrize("begin", [loop, joblib_call])
def test_a_dropped_generator_does_not_wait_for_a_lock_of_the_thread_that_collects_it(
    session: Session, begin: Callable[[], Iterator[int]]
) -> None:
    def drop() -> None:
        values = begin()
        assert next(values) == 0
        Owner(values)
        del values
        collect_with_the_lock(session)

    in_a_thread(drop)
    until(lambda: not session._accounts.open_runs())


@pytest.mark.filterwarnings("ignore:.*tasks which were")
def test_after_a_dropped_generator_a_block_of_joblib_runs_the_next_call(session: Session) -> None:
    results: list[int] = []

    def drop_and_call_again() -> None:
        with joblib.Parallel(n_jobs=2, return_as="generator") as parallel:
            values = doubled_by(parallel)
            assert next(values) == 0
            Owner(values)
            del values
            collect_with_the_lock(session)
            results.extend(doubled_by(parallel))

    in_a_thread(drop_and_call_again)
    assert results == list(range(0, 100, 2))
    until(lambda: not session._accounts.open_runs())


def test_a_dropped_executor_does_not_wait_for_a_lock_of_the_thread_that_collects_it(
    session: Session,
) -> None:
    drop_in_a_cycle(session)
    assert len(session._accounts.open_runs()) == 1
    in_a_thread(lambda: collect_with_the_lock(session))
    until(lambda: not session._accounts.open_runs())


def test_the_tasks_of_a_dropped_executor_are_done(session: Session) -> None:
    future = LambdaExecutor(session=session).submit(abs, -4)
    gc.collect()
    assert future.result(30) == 4
    until(lambda: not session._accounts.open_runs())


def test_a_run_that_cannot_be_closed_keeps_no_other_open(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    class Unclosable:
        name = "r-unclosable"

        def close(self, *, wait: bool) -> None:
            raise RuntimeError(f"wait={wait}")

    owner = threading.Event()
    session.dropped.watch(owner, Unclosable())  # type: ignore[arg-type] # what it needs of a run
    del owner
    drop_in_a_cycle(session)
    gc.collect()
    until(lambda: not session._accounts.open_runs())
    assert "r-unclosable could not be closed" in caplog.text


def test_its_thread_ends_with_the_session() -> None:
    before = set(threading.enumerate())
    with Session.open(Settings(transport="in_process", workers=2, progress=False)) as opened:
        LambdaExecutor(session=opened).shutdown()
        began = set(threading.enumerate()) - before
        assert "dolambda-dropped" in {thread.name for thread in began}
    until(lambda: not any(thread.is_alive() for thread in began))
