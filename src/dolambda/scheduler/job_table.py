"""The jobs of a run that are in flight or back off, and those that ended and have left objects.

**Input:** jobs as they are sent and end. **Output:** the removal of their objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.scheduler import events as ev
from dolambda.scheduler.part_rates import PartRates

if TYPE_CHECKING:
    from dolambda.scheduler.jobs import InFlightJob, JobState
    from dolambda.scheduler.limits import Limits

_REMOVE_EVERY = 250  # replies: those that are left there are in each LIST


class JobTable:
    """The jobs of one run.

    Args:
        limits: Limits of the run.
        first: Number of the first job.

    Attributes:
        jobs: Jobs that are in flight or back off, by number, in the order in which they were sent.
        next_number: Number of the next job.
    """

    def __init__(self, limits: Limits, first: int) -> None:
        self.jobs: dict[int, InFlightJob] = {}
        self.next_number = first
        self._part_rates = PartRates(limits.window) if limits.live else None
        self._ended: list[int] = []

    def add(self, job: InFlightJob, waiting: int) -> None:
        """Take up a job that is about to be sent, while so many tasks wait."""
        if self._part_rates:
            job.part_rate = self._part_rates.allot(len(self.jobs), waiting)
        self.next_number += 1
        self.jobs[job.number] = job

    def end(self, job: InFlightJob, state: JobState) -> None:
        """Take out a job. Its objects are to be removed."""
        job.state = state
        if self._part_rates:
            self._part_rates.give_back(job.part_rate)
        del self.jobs[job.number]
        self._ended.append(job.number)

    @property
    def has_left_objects(self) -> bool:
        """True if objects of ended jobs are still there."""
        return bool(self._ended)

    def is_to_remove(self, *, over: bool) -> bool:
        """Return whether a removal is worth a request, or ``over`` and so the last one."""
        return bool(self._ended) and (over or len(self._ended) >= _REMOVE_EVERY)

    def remove(self, job: InFlightJob) -> ev.RemoveObjects:
        """Return the removal of one job that has just ended, and may still run."""
        self._ended.remove(job.number)
        return ev.RemoveObjects([job.number], stop=True)

    def remove_all(self, *, stop: bool = False) -> ev.Actions:
        """Return the removal of what all ended jobs have left. ``stop``: some may still run."""
        numbers, self._ended = self._ended, []
        return [ev.RemoveObjects(numbers, stop=stop)] if numbers else []
