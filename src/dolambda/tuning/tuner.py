"""The tuner of this process, which measures the first run of a program.

    a session opens a run      `Tuner.begin` returns a `Sample`, the transport of that run
    the run sends its sample   `Sample.send`: to a temporary function of the stack's memory
    the run asks to continue   `Sample.confirm`: quote, question, the other sizes, and no

**Input:** the user's options. **Output:** a `Curve`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError, DolambdaError, QuotedError
from dolambda.provision.names import tune_function
from dolambda.provision.tuning import TemporaryFunctions
from dolambda.records.advice import MARGIN, RUNTIME_MB
from dolambda.records.file_format import Block, JobEntry, RunRecord
from dolambda.records.work import RunWork
from dolambda.scheduler.pilot import JOBS
from dolambda.tuning.budget import Budget
from dolambda.tuning.curve import Curve, Point
from dolambda.tuning.measure import NoReplyError, SizedFunction, Waiter, lost_reason
from dolambda.wire.reply import Reply
from dolambda.wording import count, dollars, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dolambda.transport.base import SealedJob
    from dolambda.tuning.measure import Target

log = logging.getLogger("dolambda")

SIZES = (256, 512, 1024, 1769, 3008)
"""Sizes that are measured by default. That of the stack is one of them."""

BUDGET = 0.50
_SHARE_OF_FIRST = 0.5
_SLOWER, _SPARE_S = 4.0, 10.0
_NUMBERS = 1000
"""The first size's jobs keep their numbers. Those of others begin at a multiple of this."""

_DONE = "the sample of another run was measured: `dolambda tune` measures the first run only"


@dataclass(frozen=True)
class Wishes:
    """The user's options.

    Attributes:
        sizes: Memory sizes in MB. None for the usual ones.
        budget: Dollars that it may cost.
        agree: Gets a quote, and returns whether to continue.
        tell: Gets the name of each step.
        at_once: Sizes that are measured at the same time. None for all on AWS, and for one where
            all share this machine.
    """

    sizes: tuple[int, ...] | None = None
    budget: float = BUDGET
    agree: Callable[[str], bool] = lambda _: True
    tell: Callable[[str], None] = lambda _: None
    at_once: int | None = None


@dataclass
class Sample:
    """The jobs of the sampled run, and their replies."""

    jobs: list[SealedJob] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)


class Tuner:
    """Measurement of one sample at several sizes. Thread-safe.

    Args:
        target: The stack.
        wishes: The user's options.
    """

    def __init__(self, target: Target, wishes: Wishes) -> None:
        self._target = target
        self._wishes = wishes
        self._functions = TemporaryFunctions(target.account, target.stack.name)
        self._budget = Budget(wishes.budget)
        self._waiter = Waiter()
        self._sample = Sample()
        self._first: SizedFunction | None = None
        self._first_name = ""
        self._reserved = 0.0
        self._points: list[Point] = []
        self._lock = threading.Lock()
        self.curve: Curve | None = None

    @property
    def has_begun(self) -> bool:
        """True once its run has sent a task."""
        return self._first_name != ""

    # The sample, at the stack's own size.

    def answer_first(self, job: SealedJob) -> bytes:
        """Return the sealed reply to a job of the run, from a function of the stack's size."""
        stack = self._target.stack
        if self._first is None:
            self._first = self._start_first()
            self._first.reply(job, _NUMBERS + job.number)  # starts the worker, and is not counted
        answer = self._first.answer(job, job.number)
        reply = Reply.from_bytes(answer, stack.key)
        self._sample.jobs.append(job)
        self._sample.replies.append(reply)
        return answer

    def _start_first(self) -> SizedFunction:
        stack, memory = self._target.stack, self._target.stack.memory
        second = self._target.dollars(memory, 1.0)
        timeout = self._budget.timeout(stack.timeout, JOBS + 1, second, share=_SHARE_OF_FIRST)
        if timeout is None:
            raise ConfigurationError(
                f"budget={self._wishes.budget:g} does not cover {JOBS + 1} jobs on workers of "
                f"{memory:,} MB",
                hint="Allow more.",
            )
        self._reserved = (JOBS + 1) * self._target.dollars(memory, timeout)
        self._budget.reserve(self._reserved)
        self._first_name = tune_function(stack.name, memory)
        self._wishes.tell(
            f"measuring the first tasks on {self._first_name}, a temporary function with the "
            f"role and layers of {stack.name}: at most {dollars(self._reserved)}"
        )
        if not self._target.scales:
            self._wishes.tell(
                "the emulated AWS gives workers of each size a whole core: times will be equal"
            )
        name = self._functions.create(memory, timeout)
        return SizedFunction(self._target, name, timeout, self._waiter.wait)

    # The other sizes.

    def finish(self) -> bool:
        """Measure the other sizes, once. Return False: no other task is run."""
        with self._lock:
            if self.curve is None and self._sample.replies and not self._waiter.stopped:
                self._finish_first()
                self._measure_others()
        return False

    def _finish_first(self) -> None:
        stack, replies = self._target.stack, self._sample.replies
        spent = sum(self._cost(stack.memory, reply) for reply in replies)
        # The start is not in a reply.
        self._budget.settle(self._reserved, spent + self._cost(stack.memory, replies[0]))
        self._end_function(self._first, self._first_name)
        self._first = None
        self._points.append(self._point(stack.memory, replies))

    def _measure_others(self) -> None:
        point = self._points[0]
        if not point.counts:
            raise ConfigurationError(
                f"the sample cannot be compared: {point.note or 'no task returned'}",
                hint="Run it with fewer tasks first, and correct the failures.",
            )
        plans = list(self._plans())
        if plans and not self._wishes.agree(self._quote(plans)):
            return
        self._measure_all(plans)
        if not self._waiter.stopped:
            self.curve = Curve(
                self._target.stack.name,
                self._target.stack.memory,
                tuple(sorted(self._points, key=lambda one: one.memory)),
                self._budget.spent,
                self._target.emulated,
            )

    def _plans(self) -> Iterator[_Plan]:
        """Yield the sizes to measure. Sizes that are too small for the tasks are left out."""
        work = RunWork.from_record(self._record())
        peak, jobs = self._points[0].peak, len(self._sample.jobs)
        asked, own = self._wishes.sizes, self._target.stack.memory
        for place, memory in enumerate(sorted({*(asked or SIZES)} - {own}), start=2):
            if memory < peak + RUNTIME_MB / 2 or (not asked and memory < peak * MARGIN):
                note = f"left out: tasks used {peak:,.0f} MB"
                self._points.append(Point(memory, note=note))
                continue
            sized = memory if self._target.scales else own
            longest, limit = work.longest(sized), self._target.stack.timeout
            if longest > limit:
                note = f"left out: about {duration(longest)} a task, the time limit is {limit:,} s"
                self._points.append(Point(memory, note=note))
                continue
            yield _Plan(memory, work.seconds(sized) / jobs, longest, jobs + 1, place * _NUMBERS)

    def _quote(self, plans: Sequence[_Plan]) -> str:
        times = [plan.jobs * plan.seconds for plan in plans]
        seconds = sum(times) if self._at_once(plans) == 1 else max(times)
        cost = sum(plan.jobs * self._target.dollars(plan.memory, plan.seconds) for plan in plans)
        sizes = ", ".join(f"{plan.memory:,}" for plan in plans)
        price = dollars(cost) if dollars(cost).startswith("less") else f"about {dollars(cost)}"
        return (
            f"{count(len(self._sample.jobs), 'task')} at {count(len(plans), 'more size')} "
            f"({sizes} MB): about {duration(seconds)}, {price} by list price, never "
            f"more than {dollars(self._wishes.budget)}; {dollars(self._budget.spent)} so far"
        )

    def _measure_all(self, plans: Sequence[_Plan]) -> None:
        """Measure as many sizes at a time as the budget covers; emulated, one after the other."""
        most = self._at_once(plans)
        pending = list(plans)
        while pending and not self._waiter.stopped:
            ready: list[tuple[_Plan, int]] = []
            for plan in pending[:most]:
                timeout = self._reserve(plan)
                if timeout is not None:
                    ready.append((plan, timeout))
            if not ready:
                left = dollars(max(0.0, self._budget.left))
                note = f"left out: {left} of the budget is left"
                self._points += [Point(plan.memory, note=note) for plan in pending[:most]]
                pending = pending[most:]
                continue
            with ThreadPoolExecutor(len(ready), "dolambda-tune") as threads:
                self._points += threads.map(lambda one: self._measure(*one), ready)
            done = [plan for plan, _ in ready]
            pending = [plan for plan in pending if plan not in done]

    def _at_once(self, plans: Sequence[_Plan]) -> int:
        return self._wishes.at_once or (1 if self._target.emulated else len(plans))

    def _reserve(self, plan: _Plan) -> int | None:
        """Return the time limit for a size, once its worst case is reserved; None if it is not."""
        second = self._target.dollars(plan.memory, 1.0)
        wanted = min(float(self._target.stack.timeout), _SLOWER * plan.longest + _SPARE_S)
        timeout = self._budget.timeout(wanted, plan.jobs, second)
        if timeout is None or timeout < min(wanted, plan.longest + 1):
            return None
        self._budget.reserve(plan.jobs * self._target.dollars(plan.memory, timeout))
        return timeout

    def _measure(self, plan: _Plan, timeout: int) -> Point:
        """Return the measures of a size, or the reason why there are none."""
        costs: list[float] = []
        try:
            point = self._measure_within(plan, timeout, costs)
        except DolambdaError as error:
            point = Point(plan.memory, note=str(error).partition("\n")[0])
        finally:
            reserved = plan.jobs * self._target.dollars(plan.memory, timeout)
            self._budget.settle(reserved, sum(costs))
        took = duration(point.seconds) if point.tasks else point.note
        self._wishes.tell(f"{plan.memory:,} MB: {took}")
        return point

    def _measure_within(self, plan: _Plan, timeout: int, costs: list[float]) -> Point:
        """Return the measures of a size.

        The first job starts the worker. ``costs`` gets those of jobs.
        """
        name = self._functions.create(plan.memory, timeout)
        sized = None
        try:
            sized = SizedFunction(self._target, name, timeout, self._waiter.wait)
            replies: list[Reply] = []
            for number, job in enumerate([self._sample.jobs[0], *self._sample.jobs]):
                costs.append(self._target.dollars(plan.memory, timeout))  # unless it replies
                replies.append(sized.reply(job, plan.numbers + number))
                costs[-1] = self._cost(plan.memory, replies[-1])
                if lost := lost_reason(replies):
                    raise NoReplyError(lost)
        finally:
            self._end_function(sized, name)
        return self._point(plan.memory, replies[1:])

    def _end_function(self, sized: SizedFunction | None, name: str) -> None:
        if sized:
            sized.close()
        with contextlib.suppress(DolambdaError):  # `close` tries again, and reports
            self._functions.remove(name)

    def close(self) -> list[str]:
        """End the tuner, and remove all functions. Return the names of those that are left."""
        self._waiter.stop()
        return self._functions.close()

    # Measures in replies.

    def _point(self, memory: int, replies: Sequence[Reply]) -> Point:
        return Point.from_replies(memory, replies, self._target.stack.architecture)

    def _cost(self, memory: int, reply: Reply) -> float:
        return self._target.dollars(memory, reply.usage.seconds)

    def _record(self) -> RunRecord:
        """Return the sample at the stack's size as a record, from which times at others follow."""
        block = Block()
        for reply in self._sample.replies:
            table, usage = reply.outcomes, reply.usage
            job = (reply.number, reply.attempt, usage.worker, False, usage.started)
            block.jobs.append(JobEntry(*job, usage.seconds, table.spans))
            block.kinds += table.kinds
            for name in ("started", "seconds", "cpu", "peak"):
                getattr(block, name).extend(getattr(table, name))
        header = {
            "memory": self._target.stack.memory,
            "emulated": self._target.emulated,
            "cpu_limited": self._target.cpu_limited,
        }
        return RunRecord(header, block, None)


@dataclass(frozen=True)
class _Plan:
    """A size to measure, with the expected and the longest duration of a job."""

    memory: int
    seconds: float
    longest: float
    jobs: int
    numbers: int


class Tuning:
    """`dolambda tune` in this process: each session asks it what to do with a run.

    Args:
        wishes: The user's options.
    """

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._lock = threading.Lock()
        self._tuners: list[Tuner] = []

    def tuner(self, target: Target) -> Tuner:
        """Return the tuner of a run. Raises `QuotedError` after the first run with tasks."""
        with self._lock:
            if any(tuner.has_begun for tuner in self._tuners):
                raise QuotedError(_DONE, hint="Put the run that should be tuned first.")
            self._tuners.append(Tuner(target, self._wishes))
            return self._tuners[-1]

    @property
    def curve(self) -> Curve | None:
        """The measured points, or None."""
        return next((tuner.curve for tuner in self._tuners if tuner.curve), None)

    def close(self) -> list[str]:
        """Remove all functions. Return the names of those that are left."""
        return [name for tuner in self._tuners for name in tuner.close()]


_current: Tuning | None = None


def current() -> Tuning | None:
    """Return the tuning that `dolambda tune` has begun in this process."""
    return _current


@contextlib.contextmanager
def tuning(wishes: Wishes) -> Iterator[Tuning]:
    """Measure the first run that is opened in this context, instead of running it."""
    global _current  # noqa: PLW0603 - the program runs in this process, and opens its own session
    _current = begun = Tuning(wishes)
    try:
        yield begun
    finally:
        _current = None
