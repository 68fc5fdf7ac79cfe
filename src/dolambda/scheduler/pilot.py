"""What a run will take, told after its first few tasks. On entry: what the pilot took; on leaving: an `Estimate`, and a verdict on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dolambda.scheduler.ledger import Rates

JOBS = 5
"""Jobs of one task that are sent before the rest."""

_PER_TEN_SECONDS = 1000  # environments that Lambda starts for one function (docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html)


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
        """For a person."""
        return (
            f"{self.tasks:,} tasks are left, of {_time(self.each)} each: about {_time(self.seconds)} on {self.workers:,} workers, "
            f"and {self.dollars:.4f} dollars by list price; the pilot cost {self.spent:.4f}"
        )


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004 - two hours
