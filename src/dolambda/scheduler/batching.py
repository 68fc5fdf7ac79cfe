"""The number of tasks in the next job.

**Input:** durations that workers measured. **Output:** a number.

A job should run long enough to be worth its requests, about `TARGET_S`. Yet every worker should
have something to do, and the last jobs should be short, so that none is waited for alone. So a job
gets as many tasks as take `TARGET_S`, but at most an even share of half of what is left (guided
self-scheduling: Polychronopoulos and Kuck, 1987), unless that would make it shorter than
`MIN_JOB_S`, which is about what its requests take.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET_S = 1.0
MIN_JOB_S = 0.1
MAX_TASKS = 10_000
JOB_BYTES = 4 << 20
"""Largest number of bytes of arguments in one job. A larger task travels alone."""

_ROUNDS = 1.5  # of batches, below which one round of larger ones is better
_FORGET = 0.8
_MIN_TASK_S = 20e-6  # so that a duration measured as zero does not make a job endless


class Batcher:
    """The durations of tasks, and the size of jobs. ``fixed`` sets the size instead."""

    def __init__(self, fixed: int | None = None) -> None:
        """Start without knowledge: the first jobs hold one task each."""
        self._fixed = fixed
        self._seconds: float | None = None
        self._only_cold = True

    def learn(self, seconds: Sequence[float], *, cold: bool = False) -> None:
        """Add the durations of a finished job's tasks.

        Those of a worker's first job (``cold``) include imports. They count until there are others.
        """
        if not seconds or (cold and not self._only_cold):
            return
        mean = max(sum(seconds) / len(seconds), _MIN_TASK_S)
        first = self._seconds is None or (self._only_cold and not cold)
        self._only_cold = cold
        keep = 0.0 if first else _FORGET ** len(seconds)
        self._seconds = keep * (self._seconds or 0.0) + (1 - keep) * mean

    def assuming(self, seconds: float) -> Batcher:
        """Return a batcher of the same settings for tasks that take so long."""
        other = Batcher(self._fixed)
        other._seconds = max(seconds, _MIN_TASK_S)
        return other

    @property
    def knows(self) -> bool:
        """True if a job's size is more than a guess."""
        return self._fixed is not None or self._seconds is not None

    def expected(self) -> float | None:
        """Return the seconds that a task takes, or None if unknown."""
        return self._seconds

    def size(self, waiting: int, workers: int) -> int:
        """Return the number of the ``waiting`` tasks for the next job, at least 1."""
        if self._fixed:
            return min(self._fixed, max(1, waiting))
        seconds = self._seconds
        if seconds is None:
            return 1
        share = max(math.ceil(waiting / (2 * workers)), int(MIN_JOB_S / seconds))
        return max(1, min(int(TARGET_S / seconds), share, waiting, MAX_TASKS))

    def round(self, left: int, workers: int) -> int:
        """Return the number of tasks in each of the next ``workers`` batches, at least 1.

        If the ``left`` tasks are hardly more than these batches hold, they are shared out evenly,
        so that no small batches remain.
        """
        size = self.size(left, workers)
        if self._fixed or left >= _ROUNDS * size * workers:
            return size
        return max(1, min(left // workers, MAX_TASKS))

    def most(self) -> int:
        """Return the largest number of tasks in a job that others have put together."""
        return min(MAX_TASKS, max(1, int(_ROUNDS * TARGET_S / (self._seconds or TARGET_S))))

    def jobs(self, waiting: int, workers: int) -> int:
        """Return the number of jobs for ``waiting`` tasks, if nothing is learned meanwhile."""
        largest = self.size(waiting, workers)
        # As long as an even share is larger, all jobs are the largest.
        jobs = max(0, waiting - 2 * workers * largest) // largest
        left = waiting - jobs * largest
        while left > 0:
            left -= self.size(left, workers)
            jobs += 1
        return jobs
