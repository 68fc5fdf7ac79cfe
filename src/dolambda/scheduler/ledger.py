"""The costs of a run and its budget.

**Input:** jobs to be sent, and their results. **Output:** whether the budget covers one more job.

Before a job is sent, its worst case is reserved: the function's whole time limit, and its requests.
Its reply replaces that by what the job took, including fetching the job and sending the reply, and
a margin. A lost job costs its worst case, as it may have run. A job that cannot be reserved is not
sent. This is a hard bound, because running jobs cannot be stopped. Requests of this side are
counted when they are made. docs/using.md lists the costs outside the budget.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dolambda.errors import BudgetError
from dolambda.scheduler.part_rates import MIN_INTERVAL_S
from dolambda.wording import count, dollars

if TYPE_CHECKING:
    from collections.abc import Mapping

INIT = 10.0
"""Seconds that Lambda gives an environment to start, and bills
(docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
"""

MARGIN = 0.1
"""Seconds of a job that no reply can contain: those of the runtime around it, and of sending the
last reply.
"""

_LOOK = 2.0  # seconds between two HEADs of a worker, see `worker.WATCH`


@dataclass(frozen=True)
class Rates:
    """Dollars of a worker's second, of an invocation, and of a request by action.

    ``runtime`` is the longest run of a job, ``pause`` a poller's. With ``queues`` jobs go through
    the bucket, otherwise by Invoke. With ``live`` the output of tasks is shown while they run.
    """

    second: float
    invocation: float
    requests: Mapping[str, float] = field(default_factory=dict)
    runtime: float = 900.0
    max_wait: float = 600.0
    pause: float = 1.0
    queues: bool = True
    live: bool = False

    def price(self, action: str) -> float:
        """Return the dollars of one request."""
        return self.requests.get(action, 0.0)

    @property
    def job(self) -> float:
        """Highest cost of one attempt of a job."""
        looks = self.runtime / _LOOK * self.price("s3:HeadObject")
        once = (
            2 * self.price("s3:PutObject")
            + 2 * self.price("s3:GetObject")
            + self.price("s3:ListBucket")
            + looks
        )
        if self.live:  # a part each second: asking whether it is wanted, writing and reading it
            parts = self.price("s3:PutObject") + 2 * self.price("s3:GetObject")
            once += self.runtime / MIN_INTERVAL_S * parts
        return (self.runtime + INIT) * self.second + self.invocation + once

    @property
    def blob(self) -> float:
        """Cost of uploading one blob and fetching it once."""
        return self.price("s3:PutObject") + self.price("s3:HeadObject") + self.price("s3:GetObject")

    @property
    def polling(self) -> float:
        """Highest cost of polling for a job's reply and its output."""
        polls_per_s = (1 / self.pause if self.queues else 0.0) + self.live / MIN_INTERVAL_S
        return (self.runtime + self.max_wait) * polls_per_s * self.price("s3:ListBucket")

    def cost(self, calls: Mapping[str, int]) -> float:
        """Return the dollars of requests by action."""
        return sum(self.price(action) * times for action, times in calls.items())


class Ledger:
    """The dollars of one run. Without a ``budget`` it only counts."""

    def __init__(self, budget: float | None, rates: Rates) -> None:
        self.budget = budget
        self._rates = rates
        self._requests: float | None = None
        self._before = 0.0
        self._settled = 0.0
        self._reserved: dict[int, list[float]] = {}
        self._sum = 0.0

    def update(self, requests: float) -> None:
        """Update the dollars that this side's requests have cost so far, of all runs together."""
        if self._requests is None:
            self._before = requests
        self._requests = requests

    @property
    def spent(self) -> float:
        """Dollars spent: settled jobs, lost ones at their worst, and requests."""
        return self._settled + (self._requests or 0.0) - self._before

    def can_afford(self, blobs: int = 0) -> bool:
        """Return whether one more job with this number of blobs can be reserved."""
        if self.budget is None:
            return True
        return self.spent + self._sum + self._rates.polling + self._worst(blobs) <= self.budget

    def reserve(self, number: int, blobs: int = 0) -> bool:
        """Reserve the highest cost of one attempt of a job.

        Returns:
            False if the cost exceeds the rest. Then nothing is reserved.
        """
        if not self.can_afford(blobs):
            return False
        if self.budget is not None:
            self._reserved.setdefault(number, []).append(self._worst(blobs))
            self._sum += self._worst(blobs)
        return True

    def settle(self, number: int, seconds: float, calls: Mapping[str, int], *, cold: bool) -> None:
        """Replace one reservation of a job by the figures in its reply.

        Its other attempts have cost their worst.
        """
        if self.budget is None:
            return
        reserved = self._reserved.get(number, [])
        if reserved:
            self._sum -= reserved.pop(0)
        billed = seconds + MARGIN + (INIT if cold else 0.0)
        self._settled += self._rates.invocation + self._rates.cost(calls)
        self._settled += self._rates.second * billed
        self.write_off(number)

    def write_off(self, number: int) -> None:
        """Count a job's reservation as spent: no reply will contain a lower cost."""
        for worst in self._reserved.pop(number, ()):
            self._sum -= worst
            self._settled += worst

    def narrowing(self, jobs: int, workers: int) -> str:
        """Return the message that the budget keeps only some ``workers`` busy, with ``jobs``."""
        return (
            f"the budget of ${self.budget:g} keeps {jobs:,} of {count(workers, 'worker')} busy: "
            f"each job is reserved at its worst, {dollars(self._rates.job)}, until its reply; a "
            "larger budget= or a stack with a shorter timeout keeps more busy"
        )

    def refusal(self, tasks: int) -> BudgetError:
        """Return the error of the tasks that were not sent."""
        left = (self.budget or 0.0) - self.spent
        worst = self._rates.job + self._rates.polling
        return BudgetError(
            f"the budget of ${self.budget:g} is used up: ${self.spent:.4f} are spent, and the "
            f"${left:.4f} left do not cover one more job at its worst, ${worst:.4f}; "
            f"{tasks:,} tasks were not sent",
            hint="Pass a larger budget=, or deploy the stack with a shorter timeout (timeout= of "
            'register("local")): a job is reserved for all of it.',
        )

    def _worst(self, blobs: int) -> float:
        return self._rates.job + blobs * self._rates.blob
