"""The rates at which jobs may put parts of their tasks' output.

**Input:** jobs as they are sent and end. **Output:** rates.

All jobs in flight together put at most `MAX_PER_S` parts a second, however many workers there are.
The rest of that is shared by a job and those that are expected to run with it.
"""

from __future__ import annotations

MAX_PER_S = 10.0
MIN_INTERVAL_S = 1.0
_AT_LEAST = 10  # jobs that are expected if there is capacity: tasks may be submitted one by one


class PartRates:
    """The rates of one run, in parts a second."""

    def __init__(self, window: int) -> None:
        """Start with the full rate. ``window`` is the largest number of jobs in flight."""
        self._window = window
        self._allotted = 0.0

    def allot(self, in_flight: int, waiting: int) -> float:
        """Return the rate of a job that is sent, with ``in_flight`` jobs and ``waiting`` tasks."""
        sharing = max(1, min(self._window - in_flight, max(waiting + 1, _AT_LEAST)))
        rate = min(1 / MIN_INTERVAL_S, max(0.0, MAX_PER_S - self._allotted) / sharing)
        self._allotted += rate
        return rate

    def give_back(self, rate: float) -> None:
        """Return the rate of a job that has ended to the others."""
        self._allotted -= rate
