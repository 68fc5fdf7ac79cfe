"""The estimate of a run, made after its first few tasks.

**Input:** the pilot's measures. **Output:** an `Estimate`, and the user's answer to it.

Two jobs are in flight at a time, so that later ones run in environments that have started. Tasks
differ, so the sample of a long run of short tasks is larger than `JOBS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dolambda.transport.poll_interval import polls_of_run
from dolambda.wording import count, dollars, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolambda.scheduler.batching import Batcher
    from dolambda.scheduler.ledger import Rates
    from dolambda.scheduler.limits import Limits
    from dolambda.scheduler.report import RunCounters
    from dolambda.wire.outcome import Usage

JOBS = 5
"""Fewest jobs that are sent before the rest."""

_MAX_JOBS = 30
_ENOUGH_TASKS, _ENOUGH_SHARE, _ENOUGH_S = 30, 0.03, 5.0
"""Tasks, share of the run and seconds of work after which a sample ends."""
_MOST_S = 20.0  # of work after which a sample ends although the start of a worker slowed it
_AT_ONCE = 2
_LONG_S = 5.0
"""Duration of a task from which an environment's start matters little: all jobs are sent at once.
"""
_IMPORTS_S = 10.0
"""Seconds that a worker's first task may have spent importing: they are not the task's work."""
_QUIET_JOBS = 3
"""Fewest jobs that no cold start slowed, from which on the others do not count."""
_AHEAD = 2  # jobs of a pilot that a batch of joblib's may hold
_SHARE = 0.01
"""Largest share of a run that one job of its pilot may be, if that is more than one task."""

# Environments that Lambda starts for one function
# (docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html).
_PER_TEN_SECONDS = 1000


@dataclass(frozen=True)
class Measured:
    """Measured times of tasks and jobs.

    Attributes:
        each: Seconds of a task.
        around: Seconds of a job in addition to its tasks.
        start: Seconds by which the first job of a worker takes longer than another.
        between: Seconds that a worker waits for its next job. Nobody pays for them.
    """

    each: float
    around: float = 0.0
    start: float = 0.0
    between: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """The expected rest of a run.

    Attributes:
        tasks: Number of tasks that are left.
        each: Seconds that each takes.
        seconds: Expected duration of all.
        workers: Number of workers.
        dollars: Expected cost by list price.
        spent: Cost of the pilot.
        at_least: True if more tasks may follow.
    """

    tasks: int
    each: float
    workers: int
    seconds: float
    dollars: float
    spent: float
    at_least: bool = False

    @classmethod
    def from_pilot(
        cls,
        measured: Measured,
        *,
        tasks: int,
        jobs: int,
        workers: int,
        started: int,
        rates: Rates,
        spent: float,
    ) -> Estimate:
        """Return the estimate for ``tasks`` in so many ``jobs``.

        Of the ``workers``, so many have ``started``.
        """
        at_once = max(1, min(workers, jobs))
        new = max(0, at_once - started)
        busy = tasks * measured.each + jobs * measured.around
        starting = 10.0 * (at_once // _PER_TEN_SECONDS) + (measured.start if new else 0.0)
        taken = busy + jobs * measured.between
        rounds = math.ceil(jobs / at_once) * taken / jobs if jobs == tasks else taken / at_once
        seconds = starting + max(rounds, measured.each)
        paid = (busy + new * measured.start) * rates.second + jobs * rates.invocation
        paid += _requests(rates, jobs, seconds, at_once)
        return cls(tasks, measured.each, at_once, seconds, paid, spent)

    def __str__(self) -> str:
        """Return the estimate as a sentence."""
        about = "at least" if self.at_least else "about"
        price = dollars(self.dollars)
        return (
            f"{'at least ' * self.at_least}{count(self.tasks, 'task')} left, "
            f"{duration(self.each)} each: {about} {duration(self.seconds)} "
            f"on {count(self.workers, 'worker')}, "
            f"{price if price.startswith('less') else f'{about} {price}'} by list price; "
            f"the sample cost {dollars(self.spent)}"
        )


def _requests(rates: Rates, jobs: int, seconds: float, at_once: int) -> float:
    """Return the dollars of the requests for jobs that go through the bucket."""
    if not rates.queues:
        return 0.0
    each = 2 * rates.price("s3:PutObject") + 2 * rates.price("s3:GetObject")
    polls = polls_of_run(jobs, seconds, at_once, rates.pause)
    return jobs * each + polls * rates.price("s3:ListBucket")


def _middle(values: list[float]) -> float:
    """Return the upper median. A user's module may hide `statistics`."""
    return sorted(values)[len(values) // 2] if values else 0.0


@dataclass
class _Sums:
    """Sums over the jobs of a pilot."""

    jobs: int = 0
    tasks: int = 0
    busy: float = 0.0
    billed: float = 0.0
    rests: list[float] = field(default_factory=list)

    def add(self, seconds: Sequence[float], billed: float) -> None:
        """Add a job."""
        self.jobs += 1
        self.tasks += len(seconds)
        self.busy += sum(seconds)
        self.billed += max(billed, sum(seconds))
        self.rests.append(max(0.0, billed - sum(seconds)))

    def __add__(self, other: _Sums) -> _Sums:
        """Return the sums over the jobs of both."""
        jobs, tasks = self.jobs + other.jobs, self.tasks + other.tasks
        busy, billed = self.busy + other.busy, self.billed + other.billed
        return _Sums(jobs, tasks, busy, billed, self.rests + other.rests)

    @property
    def each(self) -> float:
        """Seconds of a task."""
        return self.busy / self.tasks if self.tasks else 0.0

    @property
    def around(self) -> float:
        """Seconds of a job in addition to its tasks, of a usual job: some fetch objects once."""
        return _middle(self.rests)


class Pilot:
    """The question whether to continue, asked once after a run's first jobs.

    Attributes:
        holds: True if no more than the first jobs may be sent yet.
        asked: True if the question was asked.
        refusal: The error of the tasks that do not run, after the answer no.
    """

    def __init__(self, *, wanted: bool) -> None:
        """Prepare the question. ``wanted`` is False if it is not asked."""
        self.holds = wanted
        self.asked = False
        self.refusal: BaseException | None = None
        self._cold, self._beside, self._quiet = _Sums(), _Sums(), _Sums()
        self._cold_until = 0.0
        self._ends: dict[str, float] = {}
        self._gaps: list[float] = []

    def learn(self, seconds: Sequence[float], usage: Usage) -> None:
        """Add a job that has ended, with the durations of its tasks.

        Jobs beside the first one of another worker are counted apart: emulated workers share this
        machine's processors, and that one imports packages.
        """
        if self.holds and seconds:
            if usage.cold:
                self._cold.add(seconds, usage.seconds)
                self._cold_until = max(self._cold_until, usage.started + usage.seconds)
                self._beside, self._quiet = self._warm, _Sums()
            elif usage.started < self._cold_until:
                self._beside.add(seconds, usage.seconds)
            else:
                self._quiet.add(seconds, usage.seconds)
            ended = self._ends.get(usage.worker)
            if ended is not None:
                self._gaps.append(max(0.0, usage.started - ended))
            self._ends[usage.worker] = usage.started + usage.seconds

    @property
    def _warm(self) -> _Sums:
        return self._beside + self._quiet

    def allows(self, counters: RunCounters, in_flight: int) -> bool:
        """Return whether one more job may be sent, while so many are ``in_flight``."""
        if not self.holds:
            return True
        at_once = JOBS if self._each_at_least() >= _LONG_S else _AT_ONCE
        return in_flight < at_once and not self._is_enough(counters)

    def size(self, size: int, expected: int) -> int:
        """Return the number of tasks in the next job, at most ``size``.

        ``expected`` is the number of tasks in the run.
        """
        return min(size, max(1, int(expected * _SHARE))) if self.holds else size

    def batch_size(self, size: int, expected: int) -> int:
        """Return the number of tasks in joblib's next batch, at most ``size``.

        What is pickled far ahead delays the jobs of a sample, which wait for no queue, more than
        those of the rest.
        """
        return min(size, _AHEAD * self.size(size, expected))

    def _is_enough(self, counters: RunCounters) -> bool:
        """Return whether so many jobs as were sent are a sample."""
        tasks = self._warm.tasks + self._cold.tasks
        busy = tasks * self._each_at_least()
        slowed = self._beside.jobs and self._quiet.jobs < _QUIET_JOBS
        many = tasks >= min(_ENOUGH_TASKS, _ENOUGH_SHARE * counters.expected)
        enough = (many or busy >= _ENOUGH_S) and (not slowed or busy >= _MOST_S)
        return counters.jobs >= (JOBS if enough else _MAX_JOBS)

    def _each_at_least(self) -> float:
        """Return the seconds of a task. First tasks of workers may have imported packages."""
        if self._warm.tasks:
            return self._warm.each
        return max(0.0, self._cold.each - _IMPORTS_S)

    def is_to_ask(self, counters: RunCounters) -> bool:
        """Return whether it is time to ask, once no job is in flight."""
        return self.holds and not self.asked and self._is_enough(counters)

    def answered(self, refusal: BaseException | None) -> None:
        """Record the answer. ``refusal`` is None if the run continues."""
        self.holds = False
        self.refusal = refusal

    def estimate(
        self, waiting: int, batcher: Batcher, limits: Limits, counters: RunCounters
    ) -> Estimate:
        """Return the question: the estimate for tasks that wait, and those to be submitted."""
        self.asked = True
        tasks = waiting + counters.to_come
        rates = limits.rates
        measured = self._measured(batcher.expected() or counters.seconds / counters.jobs, rates)
        jobs = batcher.assuming(measured.each).jobs(tasks, limits.workers)
        spent = counters.seconds * rates.second + rates.cost(counters.calls)
        spent += counters.jobs * rates.invocation
        if rates.queues:
            own = rates.price("s3:PutObject") + rates.price("s3:GetObject")
            spent += counters.jobs * own
        estimate = Estimate.from_pilot(
            measured,
            tasks=tasks,
            jobs=jobs,
            workers=limits.workers,
            started=len(self._ends),
            rates=rates,
            spent=spent,
        )
        return replace(estimate, at_least=counters.open_ended)

    def _measured(self, otherwise: float, rates: Rates) -> Measured:
        """Return what was measured. ``otherwise`` are the seconds of a task if nothing was.

        In a queue the next job already waits, so that a worker does not.
        """
        warm = self._quiet if self._quiet.jobs >= _QUIET_JOBS else self._warm
        cold = self._cold
        between = 0.0 if rates.queues else _middle(self._gaps)
        if not warm.tasks:
            each = cold.each or otherwise
            return Measured(each, cold.around, between=between)
        each = warm.each
        start = cold.billed / cold.jobs - cold.tasks / cold.jobs * each if cold.jobs else 0.0
        return Measured(each, warm.around, max(0.0, start - warm.around), between)
