"""A run as a state machine: whatever order things happen in, every task has one outcome, and the
right one.

The run's own thread does nothing here and its clock stands still. Rules decide when it steps and
when time passes. The scheduler takes the time as an argument, so that nothing is patched.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dolambda.aws.request_counter import RequestCounter
from dolambda.errors import AwsError, BudgetError, LostError
from dolambda.scheduler.jobs import JobState
from dolambda.scheduler.ledger import INIT, Rates
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.retries import Retries
from dolambda.scheduler.run import Run
from dolambda.transport.base import Unanswered
from dolambda.wire.job import Job
from dolambda.wire.outcome import CRASHED, NOT_STARTED, OUT_OF_MEMORY, Lost, PackedOutcome, Usage
from dolambda.wire.outcome_table import MEASURE, OutcomeTable
from dolambda.wire.reply import Reply
from support.fake_transport import KEY, outcomes_of, square

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from dolambda.transport.base import OnReply, SealedJob

WINDOW = 3


def fail(i: int) -> None:
    raise KeyError(i)


class Stepped(Run):
    """A run that continues when it is told to. ``now`` is what it takes for the time."""

    now = 1000.0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, clock=lambda: self.now)

    def _serve(self) -> None:
        self._end.reach()

    def go_on(self) -> bool:
        """Do what there is to do by now. Return whether there may be more later."""
        while self._has_work(self._moment()):
            if not self._step():
                return False
        return True


@dataclass(eq=False)
class Sent:
    """One sending of a job."""

    job: Job
    on_reply: OnReply


class Held:
    """A transport that keeps what is sent until a rule says what becomes of it."""

    queues = True

    def __init__(self) -> None:
        self.calls = RequestCounter()
        self.under_way: list[Sent] = []
        self.landed: list[Sent] = []
        self.numbers: set[int] = set()
        self.now: set[int] = set()
        self.withdrawn: set[int] = set()
        self.blobs: dict[str, bytes] = {}

    def send(self, sealed: SealedJob, on_reply: OnReply) -> None:
        self.blobs |= {blob.digest: bytes(blob.data) for blob in sealed.blobs}
        assert sealed.number not in self.now, "sent twice at once"
        self.now.add(sealed.number)
        self.numbers.add(sealed.number)
        self.under_way.append(Sent(Job.from_bytes(sealed.data, KEY), on_reply))

    def room(self, most: int) -> int:
        return most

    def withdraw(self, _run: str, numbers: Sequence[int]) -> None:
        self.withdrawn.update(numbers)

    def in_turn(self, call: Callable[[], None]) -> None:
        call()

    def after_replies(self, call: Callable[[], None]) -> None:
        call()

    def close(self) -> None:
        pass

    def reply(self, job: Job, **more: Any) -> bytes:
        outcomes = outcomes_of(job, self.blobs)
        # As measured, they would decide how large jobs are: the same rules would not do the same.
        outcomes = replace(outcomes, seconds=array(MEASURE, [0.05] * len(outcomes)))
        usage = Usage("w", seconds=2.0)
        reply = Reply(job.run, job.number, job.attempt, outcomes, usage)
        return replace(reply, **more).to_bytes(KEY)


class Machine(RuleBasedStateMachine):
    budget: float | None = None
    """Dollars; a job costs 1 at its worst, and 0.2 when it is on_reply."""

    def __init__(self) -> None:
        super().__init__()
        self.transport = Held()
        rates = Rates(second=0.1, invocation=0.0, runtime=1.0 / 0.1 - INIT, queues=False)
        retries = Retries(1, on=KeyError, wait=1.0)
        limits = Limits(
            4,
            WINDOW,
            runtime=1.0,
            max_wait=10.0,
            attempts=3,
            retries=retries,
            budget=self.budget,
            rates=rates,
        )
        self.run: Stepped = Stepped("r", self.transport, KEY, limits)
        self.futures: list[Future[Any]] = []
        self.ends: Counter[int] = Counter()

    def go_on(self) -> bool:
        self.transport.now.clear()
        return self.run.go_on()

    # What users do.

    @rule(
        tasks=st.lists(st.sampled_from([square, square, square, fail]), min_size=1, max_size=12),
        batch=st.none() | st.integers(1, 5),
    )
    def submit(self, tasks: list[Any], batch: int | None) -> None:
        if self.run._closing:  # given up, as no worker gave a sign of life
            return
        self.run.batcher._fixed = batch
        first = len(self.futures)
        self.futures += self.run.submit(
            (function, (first + at,), {}) for at, function in enumerate(tasks)
        )
        for index, future in enumerate(self.futures[first:], first):
            future.add_done_callback(partial(self.ended, index))
        self.go_on()

    def ended(self, index: int, _: Future[Any]) -> None:
        self.ends[index] += 1

    @rule()
    def cancel_waiting(self) -> None:
        self.run.cancel_waiting()
        self.go_on()

    # What becomes of jobs.

    def take(self, data: st.DataObject) -> Sent:
        sent = data.draw(st.sampled_from(self.transport.under_way))
        self.transport.under_way.remove(sent)
        self.transport.landed.append(sent)
        return sent

    def answer(self, sent: Sent, what: bytes | BaseException) -> None:
        self.transport.now.clear()
        sent.on_reply(what)
        self.go_on()

    @precondition(lambda self: self.transport.under_way)
    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        sent = self.take(data)
        self.answer(sent, self.transport.reply(sent.job))

    @precondition(lambda self: self.transport.under_way)
    @rule(data=st.data(), lost=st.sampled_from([CRASHED, NOT_STARTED, "left out"]))
    def reply_in_part(self, data: st.DataObject, lost: str) -> None:
        sent = self.take(data)
        begun = data.draw(st.integers(0, len(sent.job) - 1))
        reply = Reply.from_bytes(self.transport.reply(sent.job), KEY)
        outcomes = list(reply.outcomes)[:begun]
        indexes = list(sent.job.indexes())
        rest = [
            Lost(lost, "it crashed"),
            *[Lost(NOT_STARTED, "its job ended")] * len(sent.job),
        ]
        if lost != "left out":
            outcomes += [
                PackedOutcome.from_lost(index, why)
                for index, why in zip(indexes[begun:], rest, strict=False)
            ]
        table = OutcomeTable.from_outcomes(outcomes)
        self.answer(sent, self.transport.reply(sent.job, outcomes=table))

    @precondition(lambda self: self.transport.landed)
    @rule(data=st.data())
    def reply_twice(self, data: st.DataObject) -> None:
        sent = data.draw(st.sampled_from(self.transport.landed))
        self.answer(sent, self.transport.reply(sent.job))

    @precondition(lambda self: self.transport.under_way)
    @rule(data=st.data(), of=st.sampled_from(["garbage", "another job", "another run", "altered"]))
    def forge(self, data: st.DataObject, of: str) -> None:
        sent = self.take(data)
        forged = {
            "garbage": b"garbage",
            "another job": self.transport.reply(sent.job, number=sent.job.number + 1),
            "another run": self.transport.reply(sent.job, run="another"),
            "altered": self.transport.reply(sent.job)[:-1] + b"?",
        }
        self.answer(sent, forged[of])

    @precondition(lambda self: self.transport.under_way)
    @rule(data=st.data(), reason=st.sampled_from([CRASHED, OUT_OF_MEMORY, NOT_STARTED]))
    def lose_and_know(self, data: st.DataObject, reason: str) -> None:
        self.answer(self.take(data), Unanswered(Lost(reason, "gone")))

    @precondition(lambda self: self.transport.under_way)
    @rule(data=st.data())
    def lose_silently(self, data: st.DataObject) -> None:
        self.take(data)

    @precondition(lambda self: self.transport.under_way)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        self.answer(self.take(data), AwsError("no such bucket"))

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.run.now += seconds
        self.go_on()

    # What holds at all times.

    @invariant()
    def the_window_is_kept(self) -> None:
        assert len(self.run._scheduler.jobs) <= WINDOW

    @invariant()
    def the_budget_is_kept(self) -> None:
        ledger = self.run._scheduler.ledger
        assert self.budget is None or ledger.spent + ledger._sum <= self.budget + 1e-9
        assert set(ledger._reserved) <= set(self.run._scheduler.jobs)

    @invariant()
    def every_task_is_in_one_place(self) -> None:
        scheduler = self.run._scheduler
        retries = [one.span for one in scheduler._timers._retries]
        spans = [*scheduler._queue, *retries]
        for job in scheduler.jobs.values():
            spans += job.spans
        found = [
            index for span in spans for index in range(span.part.first, span.part.first + len(span))
        ]
        assert sorted(found) == [
            index for index, future in enumerate(self.futures) if not future.done()
        ]
        assert scheduler.waiting == sum(map(len, scheduler._queue))

    @invariant()
    def every_job_has_a_timer(self) -> None:
        scheduler = self.run._scheduler
        assert not scheduler.jobs or scheduler._timers.next() < math.inf
        back_off = {number for _, number, _ in scheduler._timers._back_offs}
        for job in scheduler.jobs.values():
            assert self.run.now <= job.deadline
            assert job.state is JobState.IN_FLIGHT or job.number in back_off

    @invariant()
    def every_outcome_is_the_right_one_and_there_is_one(self) -> None:
        for index, future in enumerate(self.futures):
            assert self.ends[index] == future.done()
            if not future.done() or future.cancelled():
                continue
            error = future.exception()
            if error is None:
                assert future.result() == index * index
            elif isinstance(error, KeyError):
                assert error.args == (index,)
            else:
                assert isinstance(
                    error,
                    (LostError, AwsError, CancelledError) + ((BudgetError,) if self.budget else ()),
                )

    def teardown(self) -> None:
        """Answer whatever comes: the run ends, and all it has put is removed."""
        self.run.close(wait=False)
        for _ in range(1000):
            if not self.go_on():
                break
            for sent in self.transport.under_way:
                sent.on_reply(self.transport.reply(sent.job))
            self.transport.under_way.clear()
            self.run.now += 5.0
        assert self.run._is_over()
        assert all(future.done() for future in self.futures)
        assert self.transport.withdrawn == self.transport.numbers
        report = self.run.report()
        cancelled = sum(future.cancelled() for future in self.futures)
        assert report.done + report.failed + cancelled == len(self.futures)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


class OnABudget(Machine):
    budget = 6.5


TestOnABudget = OnABudget.TestCase
TestOnABudget.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


# What the machine cannot draw: reports that come late, or in the worst moment, from another thread.


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.teardown()


def test_late_reports_of_one_loss_have_a_job_sent_once(machine: Machine) -> None:
    gone = Unanswered(Lost(NOT_STARTED, "gone"))
    machine.submit(batch=None, tasks=[square])
    first = machine.transport.under_way.pop()
    machine.time_passes(seconds=30.0)  # overdue: it is sent again
    second = machine.transport.under_way.pop()
    machine.answer(first, gone)
    machine.answer(second, gone)
    machine.answer(first, gone)
    machine.time_passes(seconds=3.0)
    assert [sent.job.attempt for sent in machine.transport.under_way] == [3]


def test_what_is_lost_while_its_copy_is_about_to_be_sent_is_not_sent_again(
    machine: Machine,
) -> None:
    # Seconds, where it would be 2 at least.
    machine.run._scheduler._stragglers.patience = lambda: 0.3  # type: ignore[method-assign]
    machine.submit(batch=None, tasks=[square])
    first = machine.transport.under_way.pop()
    plain = machine.run._send

    def raced(action: Any) -> None:
        first.on_reply(Unanswered(Lost(CRASHED, "gone")))
        plain(action)

    machine.run._send = raced  # type: ignore[method-assign] # the worst moment
    machine.time_passes(seconds=0.5)
    (copy,) = machine.transport.under_way
    assert copy.job.attempt == 1
    copy.on_reply(machine.transport.reply(copy.job))
    assert machine.futures[0].result(0) == 0
