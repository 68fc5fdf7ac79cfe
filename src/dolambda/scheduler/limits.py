"""What a run keeps to. On entry: settings, and what a face was given; on leaving: one frozen `Limits`."""

from __future__ import annotations

from dataclasses import dataclass, field

from dolambda.errors import ConfigurationError
from dolambda.scheduler.ledger import Rates
from dolambda.scheduler.retries import Retries


@dataclass(frozen=True)
class Limits:
    """What a run keeps to.

    Times in seconds. ``window``: most jobs in flight; ``runtime``: longest that a job can run; ``room``: bytes that a task's
    arguments may take, the worker's memory. ``speculate``: copy slow jobs near the end, see `stragglers`.
    ``budget``: dollars that the run may cost at ``rates``, None for no bound.
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

    def __post_init__(self) -> None:
        """Check the budget. Raises `ConfigurationError` for one that does not pay for a single job."""
        least = self.rates.job + self.rates.polling
        if self.budget is not None and self.budget < least:
            raise ConfigurationError(
                f"budget={self.budget:g} dollars does not cover one job at its worst, {least:.4f}: {self.rates.runtime:g} s of a worker",
                hint="Give more, or deploy the stack with a shorter timeout: unused reservations come back.",
            )
