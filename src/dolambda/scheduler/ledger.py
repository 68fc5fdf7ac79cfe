"""What a run may cost.

On entry: jobs to be sent, and what became of them; on leaving: whether there is money for one more.

Before a job is sent its worst case is reserved: the function's whole time limit, and the requests
that go with it. Its reply settles that with what it took, fetching the job and sending the reply
included, and a margin. A job that is lost has cost its worst case, as it may have run. What cannot
be reserved is not sent: that is a hard bound, as what runs cannot be stopped. Requests of this side
are counted as they are made. docs/using.md lists what is beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dolambda.errors import BudgetError
from dolambda.scheduler.part_rates import MIN_INTERVAL_S

if TYPE_CHECKING:
    from collections.abc import Mapping

INIT = 10.0
"""Seconds that Lambda lets an environment start, and bills
(docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
"""

MARGIN = 0.1
"""Seconds of a job that no reply can say: what the runtime takes around it, and sending the last
one.
"""

_LOOK = 2.0  # seconds between two HEADs of a worker, see `worker.WATCH`


@dataclass(frozen=True)
class Rates:
    """Dollars: of a second of one worker, of an invocation, of a request by action.

    ``runtime`` is its longest, ``pause`` a poller's.

    ``queues``: jobs go through the bucket, else by Invoke. ``live``: what tasks print is seen while they run.
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
        """Dollars of one request."""
        return self.requests.get(action, 0.0)

    @property
    def job(self) -> float:
        """What one sending of a job costs at the most."""
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
        """What uploading one blob costs, and fetching it once."""
        return self.price("s3:PutObject") + self.price("s3:HeadObject") + self.price("s3:GetObject")

    @property
    def polling(self) -> float:
        """What looking for the reply to a job, and for its output, costs at the most, from when it is sent on."""
        polls_per_s = (1 / self.pause if self.queues else 0.0) + self.live / MIN_INTERVAL_S
        return (self.runtime + self.max_wait) * polls_per_s * self.price("s3:ListBucket")

    def cost(self, calls: Mapping[str, int]) -> float:
        """Dollars of requests by action."""
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
        """Take in what this side's requests have cost so far, in dollars, of all runs together."""
        if self._requests is None:
            self._before = requests
        self._requests = requests

    @property
    def spent(self) -> float:
        """Dollars that are gone: settled jobs, lost ones at their worst, and requests."""
        return self._settled + (self._requests or 0.0) - self._before

    def can_afford(self, blobs: int = 0) -> bool:
        """Return whether one more job can be reserved, with so many blobs."""
        if self.budget is None:
            return True
        return self.spent + self._sum + self._rates.polling + self._worst(blobs) <= self.budget

    def reserve(self, number: int, blobs: int = 0) -> bool:
        """Set aside what one sending of a job costs at worst.

        Returns:
            False if that is more than is left. Then nothing is set aside.
        """
        if not self.can_afford(blobs):
            return False
        if self.budget is not None:
            self._reserved.setdefault(number, []).append(self._worst(blobs))
            self._sum += self._worst(blobs)
        return True

    def settle(self, number: int, seconds: float, calls: Mapping[str, int], *, cold: bool) -> None:
        """Replace one reservation of a job by what its reply says.

        Its other sendings have cost their worst.
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
        """Count what was reserved for a job as spent: no reply will say that it cost less."""
        for worst in self._reserved.pop(number, ()):
            self._sum -= worst
            self._settled += worst

    def refusal(self, tasks: int) -> BudgetError:
        """Return what the tasks raise that were not sent."""
        left = (self.budget or 0.0) - self.spent
        worst = self._rates.job + self._rates.polling
        return BudgetError(
            f"the budget of ${self.budget:g} is used up: ${self.spent:.4f} are spent, and the "
            f"${left:.4f} left do not cover one more job at its worst, ${worst:.4f}; "
            f"{tasks:,} tasks were not sent",
            hint="Pass a larger budget=, or deploy the stack with a shorter timeout: "
            "a job is reserved for all of it.",
        )

    def _worst(self, blobs: int) -> float:
        return self._rates.job + blobs * self._rates.blob
