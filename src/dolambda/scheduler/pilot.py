"""The estimate of a run, made after its first few tasks.

**Input:** the pilot's measures. **Output:** an `Estimate`, and the user's answer to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dolambda.wording import count, dollars, duration

if TYPE_CHECKING:
    from dolambda.scheduler.batching import Batcher
    from dolambda.scheduler.ledger import Rates
    from dolambda.scheduler.limits import Limits
    from dolambda.scheduler.report import RunCounters

JOBS = 5
"""Jobs of one task that are sent before the rest."""

# Environments that Lambda starts for one function
# (docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html).
_PER_TEN_SECONDS = 1000


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
        cls, *, tasks: int, each: float, batch: int, workers: int, rates: Rates, spent: float
    ) -> Estimate:
        """Return the estimate for ``tasks`` in jobs of ``batch``."""
        jobs = math.ceil(tasks / batch)
        at_once = max(1, min(workers, jobs))
        requests = (
            2 * rates.price("s3:PutObject") + 2 * rates.price("s3:GetObject")
            if rates.queues
            else 0.0
        )
        dollars = tasks * each * rates.second + jobs * (rates.invocation + requests)
        starting = 10.0 * (at_once // _PER_TEN_SECONDS)
        return cls(
            tasks,
            each,
            at_once,
            starting + math.ceil(jobs / at_once) * batch * each,
            dollars,
            spent,
        )

    def __str__(self) -> str:
        """Return the estimate as a sentence."""
        return (
            f"{'at least ' * self.at_least}{count(self.tasks, 'task')} left, "
            f"{duration(self.each)} each: about {duration(self.seconds)} "
            f"on {count(self.workers, 'worker')}, "
            f"about {dollars(self.dollars)} by list price; the sample cost {dollars(self.spent)}"
        )


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

    def allows(self, jobs: int) -> bool:
        """Return whether one more job may be sent after ``jobs``."""
        return not self.holds or jobs < JOBS

    def is_to_ask(self, jobs: int) -> bool:
        """Return whether it is time to ask, after ``jobs`` have all ended."""
        return self.holds and not self.asked and jobs >= JOBS

    def answered(self, refusal: BaseException | None) -> None:
        """Record the answer. ``refusal`` is None if the run continues."""
        self.holds = False
        self.refusal = refusal

    def estimate(
        self, waiting: int, batcher: Batcher, limits: Limits, counters: RunCounters
    ) -> Estimate:
        """Return the question: the estimate for the ``waiting`` tasks."""
        self.asked = True
        rates = limits.rates
        spent = counters.seconds * rates.second + rates.cost(counters.calls)
        estimate = Estimate.from_pilot(
            tasks=waiting,
            each=batcher.expected() or counters.seconds / counters.jobs,
            batch=batcher.size(waiting, limits.workers),
            workers=limits.workers,
            rates=rates,
            spent=spent + counters.jobs * rates.invocation,
        )
        return replace(estimate, at_least=counters.open_ended)
