"""Timers of a run: jobs that count as lost, jobs that back off, tasks that are repeated.

**Input:** jobs as they are sent, tasks as they fail. **Output:** the next time, and what is due by
then. Times are on the scheduler's clock.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dolambda.scheduler.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolambda.scheduler.jobs import InFlightJob, TaskSpan


@dataclass(order=True, slots=True)
class RetryLater:
    """A failed task that may run again at ``due``."""

    due: float
    order: int
    span: TaskSpan = field(compare=False)


class Timers:
    """The timers of one run.

    ``jobs`` is the scheduler's table: timers of jobs that are no longer in it do not count.
    """

    def __init__(self, jobs: Mapping[int, InFlightJob]) -> None:
        """Start without timers."""
        self._jobs = jobs
        # In order, as all jobs have the same time. By number, so that a timer does not keep its job
        # alive.
        self._deadlines: deque[tuple[float, int, int]] = deque()
        self._back_offs: list[tuple[float, int, int]] = []
        self._retries: list[RetryLater] = []
        self._order = itertools.count()

    @property
    def has_retries(self) -> bool:
        """True if failed tasks will be repeated."""
        return bool(self._retries)

    def expect(self, job: InFlightJob) -> None:
        """Set the timer of a job that is being sent."""
        self._deadlines.append((job.deadline, job.number, job.attempt))

    def back_off(self, job: InFlightJob, due: float) -> None:
        """Have a lost job sent again at ``due``: at once it might fail for the same reason."""
        heapq.heappush(self._back_offs, (due, job.number, job.attempt))

    def retry(self, span: TaskSpan, due: float) -> None:
        """Have a failed task repeated at ``due``."""
        heapq.heappush(self._retries, RetryLater(due, next(self._order), span))

    def next(self) -> float:
        """Return when the next timer ends, or infinity for never."""
        while self._deadlines and not self._is_set(*self._deadlines[0]):
            self._deadlines.popleft()
        deadline = self._deadlines[0][0] if self._deadlines else math.inf
        back_off = self._back_offs[0][0] if self._back_offs else math.inf
        return min(deadline, back_off, self._retries[0].due if self._retries else math.inf)

    def take_overdue(self, now: float) -> list[InFlightJob]:
        """Return the jobs that count as lost now."""
        overdue: list[InFlightJob] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            timer = self._deadlines.popleft()
            if self._is_set(*timer):
                overdue.append(self._jobs[timer[1]])
        return overdue

    def take_backed_off(self, now: float) -> list[InFlightJob]:
        """Return the lost jobs that must be sent again now."""
        ready: list[InFlightJob] = []
        while self._back_offs and self._back_offs[0][0] <= now:
            _, number, attempt = heapq.heappop(self._back_offs)
            job = self._jobs.get(number)
            if job and job.state is JobState.BACKING_OFF and job.attempt == attempt:
                ready.append(job)
        return ready

    def take_retries(self, now: float = math.inf) -> list[TaskSpan]:
        """Return the failed tasks that may be repeated now."""
        ready: list[TaskSpan] = []
        while self._retries and self._retries[0].due <= now:
            ready.append(heapq.heappop(self._retries).span)
        return ready

    def _is_set(self, due: float, number: int, attempt: int) -> bool:
        job = self._jobs.get(number)
        return bool(
            job
            and job.state is JobState.IN_FLIGHT
            and job.attempt == attempt
            and job.deadline == due
        )
