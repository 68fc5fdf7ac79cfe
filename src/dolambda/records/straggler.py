"""The job that a run waited for at its end, and why.

**Input:** a `RunRecord`. **Output:** a `Straggler`, if one job ran long after most workers were
done.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from dolambda.wording import count, duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolambda.records.file_format import Block, JobEntry, RunRecord

_MIN_WAIT_S, _MIN_SHARE = 1.0, 0.2
_LONG, _SLOW = 3.0, 2.0
_MIN_JOBS, _MIN_TASKS_OF_WORKER = 4, 3


@dataclass(frozen=True)
class Straggler:
    """One job that was waited for. ``cause``: see the methods below that find it."""

    cause: str
    text: str
    waited: float
    job: int
    worker: str
    task: int | None = None


def straggler_of(record: RunRecord) -> Straggler | None:
    """Return the job that was waited for; None if none was, or if the record does not say why."""
    jobs = record.tasks.jobs
    ends: dict[str, float] = defaultdict(float)
    for job in jobs:
        ends[job.worker] = max(ends[job.worker], job.started + job.seconds)
    if len(jobs) < _MIN_JOBS or len(ends) <= 1:
        return None
    last = max(range(len(jobs)), key=lambda place: jobs[place].started + jobs[place].seconds)
    most_done, end = median(ends.values()), max(ends.values())
    waited, whole = end - most_done, end - min(job.started for job in jobs)
    if waited < max(_MIN_WAIT_S, _MIN_SHARE * whole):
        return None
    return _Case(record.tasks, last, waited, most_done).explained()


class _Case:
    """One job that was waited for, among all."""

    def __init__(self, tasks: Block, place: int, waited: float, most_done: float) -> None:
        """``place`` is the job's in the record; most workers were done at ``most_done``."""
        self._tasks = tasks
        self._job = tasks.jobs[place]
        self._waited = waited
        self._most_done = most_done
        sizes = [sum(length for _, length in job.spans) for job in tasks.jobs]
        bounds = [0]
        for size in sizes:
            bounds.append(bounds[-1] + size)
        self._ranges = [range(begin, end) for begin, end in pairwise(bounds)]
        self._own = self._ranges[place]
        self._typical = median(tasks.seconds) if len(tasks) else 0.0
        self._busy = sum(tasks.seconds[at] for at in self._own)

    def explained(self) -> Straggler | None:
        """Return the first cause that fits, the plainest first."""
        said = f"most workers were done {duration(self._waited)} before the last job: "
        for cause in (
            self._sent_again,
            self._slow_worker,
            self._long_task,
            self._cold_start,
            self._large_job,
            self._late,
        ):
            if found := cause():
                name, text, task = found
                job: JobEntry = self._job
                return Straggler(name, said + text, self._waited, job.number, job.worker, task)
        return None

    def _sent_again(self) -> tuple[str, str, None] | None:
        if self._job.attempt <= 1:
            return None
        return "sent again", "it was sent again, as its first sending was lost or too slow", None

    def _slow_worker(self) -> tuple[str, str, None] | None:
        """All tasks of its worker took long, in several jobs."""
        seconds = self._tasks.seconds
        own: list[float] = []
        others: list[float] = []
        for job, places in zip(self._tasks.jobs, self._ranges, strict=True):
            (own if job.worker == self._job.worker else others).extend(seconds[at] for at in places)
        if len(own) < _MIN_TASKS_OF_WORKER or not others:
            return None
        ours, theirs = median(own), median(others)
        if not theirs or ours < _SLOW * theirs:
            return None
        took = f"tasks took {duration(ours)} on its worker and {duration(theirs)} on the others"
        return "slow worker", f"{took}; speculate=True starts such jobs a second time", None

    def _long_task(self) -> tuple[str, str, int] | None:
        longest = max(self._own, key=lambda at: self._tasks.seconds[at], default=None)
        if longest is None:
            return None
        seconds, cpu = self._tasks.seconds[longest], self._tasks.cpu[longest]
        if seconds < max(self._waited / 2, _LONG * self._typical):
            return None
        task = self._index_of(longest)
        took = f"task {task} took {duration(seconds)}, a typical one {duration(self._typical)}"
        if cpu < seconds / 10:
            return "long task", f"{took}; it computed for {cpu / seconds:.0%} of that time", task
        return "long task", f"{took}; submit it first, or cut it into smaller ones", task

    def _cold_start(self) -> tuple[str, str, None] | None:
        starting = self._job.seconds - self._busy
        if not self._job.cold or starting < self._waited / 2:
            return None
        took = f"it was its worker's first, whose start took {duration(starting)}"
        return "cold start", f"{took}; fewer packages start faster", None

    def _large_job(self) -> tuple[str, str, None] | None:
        if len(self._own) <= 1 or self._busy < self._waited / 2:
            return None
        held = f"it held {count(len(self._own), 'task')}, {duration(self._busy)} together"
        return "large job", f"{held}; a smaller batch= spreads them over the workers", None

    def _late(self) -> tuple[str, str, None] | None:
        late = self._job.started - self._most_done
        if late < self._waited / 2:
            return None
        return (
            "late",
            f"it began {duration(late)} after they were done, as no worker was free",
            None,
        )

    def _index_of(self, place: int) -> int:
        """Return the index of the task at a place of the record."""
        offset = place - self._own.start
        for first, length in self._job.spans:
            if offset < length:
                return first + offset
            offset -= length
        raise AssertionError("the place is one of the job's")


def median(values: Iterable[float]) -> float:
    """Return the median of at least one value.

    Python's own is not imported: programs have modules named ``statistics``.
    """
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
