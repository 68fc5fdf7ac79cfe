"""The time and worker of each task in a record.

**Input:** the tasks of a record. **Output:** `TaskTimes`, and the load of each worker.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dolambda.records.file_format import Block

_NAME = 8


@dataclass(frozen=True, slots=True)
class TaskTime:
    """A task. ``begin`` is in seconds since the first job began. ``kind`` is 0 for a value."""

    task: int
    begin: float
    seconds: float
    kind: int
    worker: str


def short_name(worker: str) -> str:
    """Return what tells a worker from others: Lambda names them by date, version and a number."""
    return worker.rpartition("]")[2][:_NAME] or "?"


def task_times(tasks: Block) -> list[TaskTime]:
    """Return the times of all tasks, in the order of the record."""
    zero = min((job.started for job in tasks.jobs), default=0.0)
    times, at = [], 0
    for job in tasks.jobs:
        for first, length in job.spans:
            for task in range(first, first + length):
                begin = job.started - zero + tasks.started[at]
                kind, seconds = tasks.kinds[at], tasks.seconds[at]
                times.append(TaskTime(task, begin, seconds, kind, job.worker))
                at += 1
    return times


def busy_shares(times: list[TaskTime], span: float, bins: int) -> dict[str, list[float]]:
    """Return, for each worker, the share of each time bin that its tasks took, from 0 to 1."""
    shares: dict[str, list[float]] = defaultdict(lambda: [0.0] * bins)
    width = span / bins
    for one in times:
        row = shares[one.worker]
        begin, end = one.begin / width, (one.begin + one.seconds) / width
        first, last = min(bins - 1, max(0, int(begin))), min(bins - 1, max(0, int(end)))
        for number in range(first, last + 1):
            row[number] += max(0.0, min(end, number + 1) - max(begin, number))
    return {worker: [min(1.0, share) for share in row] for worker, row in shares.items()}


def runs_of_levels(shares: list[float], levels: int) -> list[tuple[int, int, int]]:
    """Return first bin, number of bins and level of each stretch of equal load.

    Idle stretches are left out.
    """
    stretches: list[tuple[int, int, int]] = []
    for number, share in enumerate(shares):
        level = min(levels, int(share * levels) + 1) if share > 0 else 0
        if stretches and stretches[-1][2] == level and sum(stretches[-1][:2]) == number:
            first, length, _ = stretches[-1]
            stretches[-1] = (first, length + 1, level)
        elif level:
            stretches.append((number, 1, level))
    return stretches
