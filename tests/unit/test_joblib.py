from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest

from dolambda.joblib import Gather


def done(value: Any = None, error: BaseException | None = None) -> Future[Any]:
    future: Future[Any] = Future()
    if error:
        future.set_exception(error)
    else:
        future.set_result(value)
    return future


def test_tasks_done_before_they_could_be_watched_give_their_values_from_another_thread() -> None:
    batch: Future[list[Any]] = Future()
    completed_in: list[int] = []
    batch.add_done_callback(lambda _: completed_in.append(threading.get_ident()))
    Gather(batch, [done(1), done(2)])
    assert batch.result(10) == [1, 2]
    assert completed_in != [threading.get_ident()]


def test_some_done_and_some_not_wait_for_the_rest() -> None:
    batch: Future[list[Any]] = Future()
    last: Future[Any] = Future()
    Gather(batch, [done(1), last])
    assert not batch.done()
    last.set_result(2)
    assert batch.result(10) == [1, 2]


def test_the_first_failure_fails_the_batch_once() -> None:
    batch: Future[list[Any]] = Future()
    later: Future[Any] = Future()
    Gather(batch, [later, done(error=KeyError("one"))])
    with pytest.raises(KeyError, match="one"):
        batch.result(10)
    later.set_exception(ValueError("another"))
    assert isinstance(batch.exception(0), KeyError)


def test_a_cancelled_task_fails_the_batch() -> None:
    batch: Future[list[Any]] = Future()
    cancelled: Future[Any] = Future()
    Gather(batch, [cancelled])
    cancelled.cancel()
    assert type(batch.exception(10)).__name__ == "CancelledError"
