"""What happens when an executor is garbage collected."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import pytest

from dolambda import LambdaExecutor
from dolambda.session import Session
from dolambda.settings import Settings
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def session() -> Iterator[Session]:
    with Session.open(Settings(transport="in_process", workers=2, progress=False)) as opened:
        yield opened


def drop_in_a_cycle(session: Session) -> None:
    executor = LambdaExecutor(session=session)
    executor.itself = executor  # type: ignore[attr-defined] # only the collector finds it


def test_a_dropped_executor_does_not_wait_for_a_lock_of_the_thread_that_collects_it(
    session: Session,
) -> None:
    """The collector may run at any allocation, also while this session's runs are counted."""
    drop_in_a_cycle(session)
    assert len(session._accounts.open_runs()) == 1

    def collect() -> None:
        with session._accounts._lock:
            gc.collect()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
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
