"""The copies of slow jobs, near the end of a run.

**Input:** the times that jobs were in flight. **Output:** the jobs that are too slow.

One slow worker must not delay what a thousand others have done (speculative execution: Dean and
Ghemawat, MapReduce, 2004, section 3.6). A copy costs as much as it runs. So a job is copied only
while no task waits and workers are idle, and only after a multiple of the time that nearly all jobs
took.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from dolambda.scheduler.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolambda.scheduler.jobs import InFlightJob

_REMEMBERED = 500
_ENOUGH = 8  # jobs that must have ended before any is called slow
_NEARLY_ALL = 0.9
_TIMES = 3.0
_LEAST = 2.0  # seconds: below that a copy gains nothing


class Stragglers:
    """The slow jobs of one run.

    Args:
        jobs: The scheduler's table of jobs, in the order in which they were sent.
        copy: True if slow jobs get a copy. Otherwise no job is ever too slow.
    """

    def __init__(self, jobs: Mapping[int, InFlightJob], *, copy: bool) -> None:
        self._jobs = jobs
        self._copy = copy
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._patience: float | None = None
        self._new = 0

    def completed(self, seconds: float) -> None:
        """Record that a job was in flight for this time."""
        self._seconds.append(seconds)
        self._new += 1

    def patience(self) -> float | None:
        """Return the seconds in flight after which a job is too slow, or None if unknown."""
        if (
            self._copy
            and len(self._seconds) >= _ENOUGH
            and (self._patience is None or self._new >= _ENOUGH)
        ):
            in_order = sorted(self._seconds)
            self._patience = max(_LEAST, _TIMES * in_order[int(_NEARLY_ALL * (len(in_order) - 1))])
            self._new = 0
        return self._patience

    def next_slow(self) -> float:
        """Return when the first job will be too slow, on the scheduler's clock.

        Infinity for never.
        """
        patience = self.patience()
        if patience is None:
            return math.inf
        first = next((job for job in self._jobs.values() if _is_copyable(job)), None)
        return math.inf if first is None else first.last_sent + patience

    def slow(self, now: float) -> list[InFlightJob]:
        """Return the jobs that are too slow, the oldest first."""
        latest = now - (self.patience() or math.inf)
        return [job for job in self._jobs.values() if _is_copyable(job) and job.last_sent <= latest]


def _is_copyable(job: InFlightJob) -> bool:
    return job.state is JobState.IN_FLIGHT and not job.copied
