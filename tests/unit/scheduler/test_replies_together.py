"""Replies that arrive together are handled as events of one moment."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.scheduler.hooks import RunHooks
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.results import Pieces
from dolambda.scheduler.run import Run
from dolambda.wire.job import Job
from support.fake_transport import KEY, Memory, square
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.transport.base import OnReply, SealedJob
    from dolambda.wire.reply import Reply

WIDE = 64


class Together(Memory):
    """A transport whose replies arrive when a test says so, in the thread of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Job, OnReply]] = []
        self.later: dict[Callable[[], None], None] = {}

    def send(self, sealed: SealedJob, on_reply: OnReply) -> None:
        self.held |= {blob.digest: bytes(blob.data) for blob in sealed.blobs}
        self.waiting.append((Job.from_bytes(sealed.data, KEY), on_reply))

    def in_turn(self, call: Callable[[], None]) -> None:
        call()

    def after_replies(self, call: Callable[[], None]) -> None:
        self.later[call] = None

    def arrive(self, times: int = 1) -> None:
        """Have the replies to all jobs arrive, each so many times."""
        waiting, self.waiting = self.waiting, []
        for job, on_reply in sorted(waiting, key=lambda one: one[0].number):
            for _ in range(times):
                on_reply(self.answer(job))
        while self.later:
            self.later.popitem()[0]()


def opened(memory: Memory, hooks: RunHooks | None = None) -> Run:
    limits = Limits(WIDE, WIDE, 900.0, max_wait=60.0, batch=1, speculate=False)
    return Run("r", memory, KEY, limits, hooks=hooks)


@pytest.mark.parametrize("times", [1, 2])
def test_each_reply_counts_once(times: int) -> None:
    memory, pieces, recorded = Together(), Pieces(in_order=True), list[int]()

    def record(reply: Reply) -> None:
        recorded.append(reply.number)

    run = opened(memory, RunHooks(record=record))
    run.submit_stream(square, [(i,) for i in range(3 * WIDE)], pieces.receiver)
    found: list[Any] = []
    while pieces.left:
        until(lambda: len(memory.waiting) == min(WIDE, pieces.left))
        memory.arrive(times)
        with contextlib.suppress(TimeoutError):
            while pieces.left:
                found += pieces.take(0.0)[2]
    assert found == [i * i for i in range(3 * WIDE)]
    assert sorted(recorded) == list(range(3 * WIDE))
    assert run.report().done == 3 * WIDE
    run.close()


class Faulty:
    """A receiver with a defect: it refuses the value of one task."""

    calls_users = False

    def __init__(self) -> None:
        self.got: dict[int, Any] = {}

    def claim(self, start: int, stop: int) -> list[tuple[int, int]]:
        return [(start, stop)]

    def withdraw(self, start: int, stop: int) -> None:
        raise AssertionError((start, stop))

    def deliver(self, start: int, values: Any) -> None:
        if start == 1:
            raise ZeroDivisionError
        self.got[start] = values[0]

    def fail(self, start: int, _stop: int, error: BaseException) -> None:
        self.got[start] = error


def test_a_callback_may_wait_for_a_task_whose_reply_came_with_its_own() -> None:
    memory = Together()
    run = opened(memory)
    futures = run.submit((square, (i,), {}) for i in range(2))
    until(lambda: len(memory.waiting) == 2)
    seen: list[int] = []
    futures[1].add_done_callback(lambda _: seen.append(futures[0].result(20)))
    memory.arrive()
    assert (seen, futures[1].result(20)) == ([0], 1)
    run.close()


def test_a_defect_in_one_keeps_no_other_from_its_outcome() -> None:
    memory, receiver = Together(), Faulty()
    run = opened(memory)
    run.submit_stream(square, [(i,) for i in range(4)], lambda _count: receiver)
    until(lambda: len(memory.waiting) == 4)
    memory.arrive()
    assert {at: value for at, value in receiver.got.items() if at != 1} == {0: 0, 2: 4, 3: 9}
    run.close()
