"""What a run will take, told after its first few tasks.

On entry: what the pilot took; on leaving: an `Estimate`, and a verdict on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    """``tasks`` are left, each takes ``each`` seconds; together about ``seconds`` on ``workers``, for ``dollars`` by list price.

    ``spent`` is what the pilot cost.
    """

    tasks: int
    each: float
    workers: int
    seconds: float
    dollars: float
    spent: float

    @classmethod
    def from_pilot(
        cls, *, tasks: int, each: float, batch: int, workers: int, rates: Rates, spent: float
    ) -> Estimate:
        """Estimate the rest of a run: ``tasks`` in jobs of ``batch``."""
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
        """Return it as a sentence."""
        return (
            f"{count(self.tasks, 'task')} left, {duration(self.each)} each: "
            f"about {duration(self.seconds)} on {count(self.workers, 'worker')}, "
            f"about {dollars(self.dollars)} by list price; the sample cost {dollars(self.spent)}"
        )


class Pilot:
    """The question, asked once after a run's first jobs, whether to go on.

    Attributes:
        holds: Whether no more than the first jobs may be sent yet.
        asked: Whether the question was asked.
        refusal: The error of what is not run, once the answer was no.
    """

    def __init__(self, *, wanted: bool) -> None:
        """``wanted``: whether to ask."""
        self.holds = wanted
        self.asked = False
        self.refusal: BaseException | None = None

    def allows(self, jobs: int) -> bool:
        """Return whether one more job may be sent after ``jobs``."""
        return not self.holds or jobs < JOBS

    def is_to_ask(self, jobs: int) -> bool:
        """Return whether it is time to ask, after ``jobs`` that have all ended."""
        return self.holds and not self.asked and jobs >= JOBS

    def answered(self, refusal: BaseException | None) -> None:
        """Take the answer. ``refusal`` is None if the run goes on."""
        self.holds = False
        self.refusal = refusal

    def estimate(
        self, waiting: int, batcher: Batcher, limits: Limits, counters: RunCounters
    ) -> Estimate:
        """Ask the question: return what the ``waiting`` tasks will take."""
        self.asked = True
        rates = limits.rates
        spent = counters.seconds * rates.second + rates.cost(counters.calls)
        return Estimate.from_pilot(
            tasks=waiting,
            each=batcher.expected() or counters.seconds / counters.jobs,
            batch=batcher.size(waiting, limits.workers),
            workers=limits.workers,
            rates=rates,
            spent=spent + counters.jobs * rates.invocation,
        )
