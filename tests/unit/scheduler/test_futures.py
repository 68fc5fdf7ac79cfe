"""Futures of a run whose users do with them what they like: each is completed, whatever the others'
do.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from concurrent.futures import CancelledError, Future, wait
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.errors import ConfigurationError, NoReplyError
from dolambda.scheduler import relay
from dolambda.scheduler.hooks import RunHooks
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.run import Run
from dolambda.transport.base import Unanswered
from dolambda.transport.clean_up import CleanUp, left
from dolambda.wire.outcome import Lost, PackedOutcome
from dolambda.wire.outcome_table import OutcomeTable
from support.fake_transport import KEY, Memory, square

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.wire.job import Job

BATCH = 5


class Gate:
    """Holds answers back until a test has done what it wants with the futures."""

    def __init__(self, answer: Callable[[Memory, Job], bytes | BaseException | None]) -> None:
        self.open = threading.Event()
        self.memory = Memory(self._fate)
        self._answer = answer

    def _fate(self, job: Job, _sent: int) -> bytes | BaseException | None:
        assert self.open.wait(20)
        return self._answer(self.memory, job)


def right(memory: Memory, job: Job) -> bytes:
    return memory.answer(job)


def failing(_memory: Memory, _job: Job) -> BaseException:
    return Unanswered(Lost("crashed", "it crashed"))


def opened(memory: Memory, **more: Any) -> Run:
    limits = {"workers": 1, "window": 1, "runtime": 60.0, "batch": BATCH, "attempts": 1}
    return Run("r", memory, KEY, Limits(**(limits | more.pop("limits", {}))), **more)


def raising(kind: type[BaseException]) -> Callable[[Future[Any]], None]:
    def callback(_future: Future[Any]) -> None:
        raise kind("in a callback")

    return callback


def settled(futures: list[Future[Any]]) -> list[Any]:
    """What has become of them; fails if any is pending."""
    assert not wait(futures, 20).not_done
    return [
        "cancelled"
        if one.cancelled()
        else type(one.exception())
        if one.exception()
        else one.result()
        for one in futures
    ]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, ValueError])
@pytest.mark.parametrize("answer", [right, failing])
def test_what_a_callback_raises_stops_neither_its_neighbours_nor_other_callbacks(
    kind: type[BaseException], answer: Callable[[Memory, Job], Any]
) -> None:
    gate, called = Gate(answer), threading.Event()
    run = opened(gate.memory)
    futures = run.submit((square, (i,), {}) for i in range(2 * BATCH))
    for future in futures:
        future.add_done_callback(raising(kind))
    futures[0].add_done_callback(lambda _: called.set())
    gate.open.set()
    found = settled(futures)
    assert found == [i * i for i in range(2 * BATCH)] or set(map(str, found)) == {str(found[0])}
    assert called.wait(20)
    run.close()


def test_a_callback_added_to_a_done_future_raises_where_it_is_added() -> None:
    run = opened(Memory())
    (future,) = run.submit([(square, (2,), {})])
    assert future.result(20) == 4
    with pytest.raises(SystemExit):
        future.add_done_callback(raising(SystemExit))
    run.close()


@pytest.mark.parametrize("answer", [right, failing])
def test_a_future_that_its_user_completes_while_it_runs_is_left_alone(
    answer: Callable[[Memory, Job], Any],
) -> None:
    gate = Gate(answer)
    run = opened(gate.memory)
    futures = run.submit((square, (i,), {}) for i in range(BATCH))
    while not futures[0].running():
        time.sleep(0.01)
    futures[0].set_result("mine")
    gate.open.set()
    assert settled(futures)[0] == "mine"
    run.close()


def by_result(future: Future[Any]) -> None:
    future.set_result("mine")


def by_exception(future: Future[Any]) -> None:
    future.set_exception(KeyError("mine"))


def by_cancel(future: Future[Any]) -> None:
    assert future.cancel()


def by_cancel_and_notify(future: Future[Any]) -> None:
    assert future.cancel()
    assert not future.set_running_or_notify_cancel()


@pytest.mark.parametrize("by", [by_result, by_exception, by_cancel, by_cancel_and_notify])
@pytest.mark.parametrize("end", ["run", "cancel", "cancel_waiting"])
def test_a_waiting_future_that_its_user_completes_harms_no_other(
    by: Callable[[Future[Any]], None], end: str
) -> None:
    gate = Gate(right)
    run = opened(gate.memory)
    first = run.submit((square, (i,), {}) for i in range(BATCH))
    while not first[0].running():
        time.sleep(0.01)
    waiting = run.submit((square, (i,), {}) for i in range(BATCH))
    by(waiting[2])
    if end != "run":
        threading.Thread(target=getattr(run, end)).start()
        assert not wait(waiting, 20).not_done
    gate.open.set()
    settled(first)
    others = settled([*waiting[:2], *waiting[3:]])
    assert others == ([0, 1, 9, 16] if end == "run" else ["cancelled"] * 4)
    assert waiting[2].done()
    run.close()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_a_callback_raises_while_a_run_is_cancelled_stops_no_other(
    kind: type[BaseException],
) -> None:
    gate = Gate(right)
    run = opened(gate.memory)
    futures = run.submit((square, (i,), {}) for i in range(3 * BATCH))
    for future in futures:
        future.add_done_callback(raising(kind))
    gate.open.set()
    run.cancel()
    assert not wait(futures, 20).not_done


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, RuntimeError])
def test_what_progress_and_relay_raise_costs_its_text_alone(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def show(*_: Any) -> None:
        raise kind("no display")

    memory = Memory()
    outcome = PackedOutcome.from_value(0, 1, 0.0)
    memory.fate = lambda job, _sent: memory.answer(
        job,
        outcomes=OutcomeTable.from_outcomes(
            [
                PackedOutcome(index, "value", outcome.payload, output="printed")
                for index in job.indexes()
            ]
        ),
    )
    run = opened(memory, hooks=RunHooks(progress=show, relay=show))
    with caplog.at_level(logging.ERROR, "dolambda"):
        for _ in range(3):
            assert settled(run.submit((square, (i,), {}) for i in range(BATCH))) == [1] * BATCH
    assert caplog.text.count("progress= raised; the run continues") == 1
    run.close()


@pytest.mark.parametrize("stream", [None, "broken"])
def test_output_is_left_out_where_there_is_nowhere_to_show_it(
    stream: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def write(self, _text: str) -> None:
            raise RuntimeError("the display is gone")

    memory = Memory()
    outcome = PackedOutcome.from_value(0, 1, 0.0)
    memory.fate = lambda job, _sent: memory.answer(
        job,
        outcomes=OutcomeTable.from_outcomes(
            [
                PackedOutcome(index, "value", outcome.payload, output="printed")
                for index in job.indexes()
            ]
        ),
    )
    run = opened(memory, hooks=RunHooks(relay=relay.to_stdout))
    monkeypatch.setattr(sys, "stdout", None if stream is None else Broken())
    found = settled(run.submit((square, (i,), {}) for i in range(BATCH)))
    monkeypatch.undo()
    assert found == [1] * BATCH
    run.close()


def test_a_run_that_broke_says_why_it_takes_no_more() -> None:
    class Breaks(Memory):
        def send(self, *_: Any) -> None:
            raise OSError("the transport broke")

    run = opened(Breaks())
    (future,) = run.submit([(square, (1,), {})])
    with pytest.raises(OSError, match="the transport broke"):
        future.result(20)
    with pytest.raises(ConfigurationError, match="it ended with OSError") as refused:
        run.submit([(square, (1,), {})])
    assert isinstance(refused.value.__cause__, OSError)
    run.close()


def test_a_thread_that_cannot_be_started_is_an_error_and_nothing_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ended: list[Run] = []
    run = opened(Memory(), hooks=RunHooks(on_end=ended.append))
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run.submit([(square, (1,), {})])
    monkeypatch.undo()
    assert settled(run.submit([(square, (3,), {})])) == [9]
    run.close()
    assert ended == [run]


def test_a_run_whose_whole_window_is_never_answered_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dolambda.scheduler.state._REPLY_GRACE_S", 0.0)
    memory = Memory(lambda _job, _sent: None)
    limits = {"window": 2, "workers": 2, "runtime": 0.0, "max_wait": 0.1, "attempts": 2, "batch": 1}
    run = opened(memory, limits=limits)
    futures = run.submit((square, (i,), {}) for i in range(200))
    assert set(settled(futures)) == {NoReplyError}
    assert len(memory.sent) < 30
    with pytest.raises(NoReplyError, match="no worker has given a sign of life"):
        run.submit([(square, (1,), {})])
    run.close()


def test_jobs_that_are_never_answered_fail_alone_while_others_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dolambda.scheduler.state._REPLY_GRACE_S", 0.0)
    memory = Memory()
    memory.fate = lambda job, _sent: None if job.number % 2 else memory.answer(job)
    limits = {"window": 2, "workers": 2, "runtime": 0.0, "max_wait": 0.7, "attempts": 3, "batch": 1}
    run = opened(memory, limits=limits)
    found = settled(run.submit((square, (i,), {}) for i in range(4)))
    assert found == [NoReplyError if i % 2 else i * i for i in range(4)]
    run.close()


@pytest.mark.parametrize("how", ["close", "close at once", "cancel", "abandon", "never begun"])
def test_a_run_tells_its_end_once_however_it_was_closed(how: str) -> None:
    ended: list[tuple[Run, int]] = []
    done = threading.Event()

    def on_end(run: Run) -> None:
        ended.append((run, run.report().done))
        done.set()

    run = opened(Memory(), hooks=RunHooks(on_end=on_end))
    if how != "never begun":
        settled(run.submit((square, (i,), {}) for i in range(BATCH)))
    if how == "cancel":
        run.cancel()
    elif how == "abandon":
        run.abandon(OSError("it has gone"))
    else:
        run.close(wait=how != "close at once")
    assert done.wait(20)
    with contextlib.suppress(CancelledError):
        run.close()
        run.cancel()
    assert ended == [(run, 0 if how == "never begun" else BATCH)]


def test_clean_up_holds_up_who_cancels_no_longer_than_it_may() -> None:
    class Unreachable(Memory):
        def withdraw(self, *_: Any) -> None:
            released.wait(60)

    released = threading.Event()
    clean_up = CleanUp(0.2)
    memory = Unreachable(lambda _job, _sent: None)
    run = opened(memory, clean_up=clean_up)
    futures = run.submit((square, (i,), {}) for i in range(BATCH))
    while not futures[0].running():
        time.sleep(0.01)
    begun = time.monotonic()
    run.cancel()
    assert time.monotonic() - begun < 30
    assert set(settled(futures)) == {CancelledError}
    assert left(clean_up.until()) == 0.0  # what comes next does not wait for it again
    released.set()
