"""The limits of a run.

**Input:** settings, and the options of a frontend. **Output:** one frozen `Limits`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dolambda.errors import ConfigurationError
from dolambda.scheduler.ledger import Rates
from dolambda.scheduler.retries import Retries
from dolambda.wording import dollars, duration


@dataclass(frozen=True)
class Limits:
    """The limits of a run. Times are in seconds.

    Attributes:
        window: Largest number of jobs in flight.
        runtime: Longest time that a job can run.
        room: Bytes that a task's arguments may take: the worker's memory.
        speculate: Copy slow jobs near the end, see `stragglers`.
        ahead: Seconds by which the workers' clocks are ahead of this one.
        live: Show the output of tasks while they run.
        whole_batches: A job is no smaller than a batch: joblib has chosen its size.
        budget: Dollars that the run may cost at ``rates``. None for no bound.
    """

    workers: int
    window: int
    runtime: float
    max_wait: float = 600.0
    attempts: int = 3
    task_timeout: float | None = None
    batch: int | None = None
    retries: Retries = field(default_factory=lambda: Retries(times=0))
    room: int | None = None
    budget: float | None = None
    rates: Rates = field(default_factory=lambda: Rates(0.0, 0.0))
    speculate: bool = True
    ahead: float = 0.0
    live: bool = False
    whole_batches: bool = False

    def __post_init__(self) -> None:
        """Check the budget.

        Raises:
            ConfigurationError: The budget does not cover a single job.
        """
        least = self.rates.job + self.rates.polling
        if self.budget is not None and self.budget < least:
            job, polling = dollars(self.rates.job), dollars(self.rates.polling)
            raise ConfigurationError(
                f"budget={self.budget:g} does not cover one job at its worst, {dollars(least)}: "
                f"{job} for {duration(self.rates.runtime)} of a worker that has to start"
                + (f", {polling} for polls until its reply" if self.rates.polling else ""),
                hint=(
                    f"Pass at least {math.ceil(least * 1e4) / 1e4:.4f}. What a job does not use "
                    "comes back. "
                )
                + (
                    "A larger throttle= or a smaller max_wait= reserves fewer polls."
                    if self.rates.polling > self.rates.job
                    else "A stack with a shorter timeout reserves less."
                ),
            )
