"""The number of tasks in jobs, and in the batches that joblib makes of them.

**Input:** what was measured, what waits, and what is still to be submitted. **Output:** a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dolambda.scheduler.batching import Batcher
    from dolambda.scheduler.limits import Limits
    from dolambda.scheduler.pilot import Pilot
    from dolambda.scheduler.report import RunCounters
    from dolambda.scheduler.waiting import TaskQueue


class JobSizes:
    """Sizes for one run, by those who know something of them."""

    def __init__(
        self, batcher: Batcher, pilot: Pilot, limits: Limits, counters: RunCounters
    ) -> None:
        self._batcher = batcher
        self._pilot = pilot
        self._limits = limits
        self._counters = counters

    def of_job(self, queue: TaskQueue) -> int:
        """Return the number of the waiting tasks for the next job."""
        left = queue.tasks + self._counters.to_come
        size = self._batcher.size(left, self._limits.workers)
        if self._limits.whole_batches and self._limits.batch is None:
            first = queue.first.part.stop - queue.start
            size = max(size, min(first, self._batcher.most()))
        return self._pilot.size(size, self._counters.expected)

    def of_batch(self, left: int | None, workers: int) -> int:
        """Return the number of tasks in each of the next ``workers`` batches that joblib makes.

        joblib takes so many batches at once. If fewer tasks are left than they hold, it makes ten
        times as many of them. ``left`` is None if the number of tasks is not known. It is not known
        either if there are more than the iterable said.
        """
        batcher = self._batcher
        known = max(0, left or 0)
        size = batcher.round(known, workers) if known else batcher.size(1 << 30, 1)
        if self._limits.rates.queues:
            return size
        return self._pilot.batch_size(size, self._counters.expected)
