"""Durations of a run's jobs at other memory sizes.

**Input:** a `RunRecord`. **Output:** a `RunWork`: seconds at any memory size.

Lambda gives CPU in proportion to memory, one core at 1,769 MB
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html). So a job's time is

    waiting + CPU seconds / cores        cores = memory / 1,769, at most as many as it has used

Its CPU seconds are measured and the same at each size. Waiting is what is left of its time: for a
network, a disk, a lock. The rest of a job, before and after its tasks, counts as CPU.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dolambda.records.file_format import RunRecord

MB_PER_CORE = 1769
MIN_MB, MAX_MB = 128, 10_240
SIZES = (
    *(128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1769, 2048),
    *(2560, 3072, 3538, 4096, 5120, 6144, 7168, 8192, 9216, 10_240),
)
"""Memory sizes that are advised, in MB: steps of at most a third."""

_ONE_THREAD = 1.15
"""CPU seconds a second above which a task has run on several cores, whatever the clocks say."""
_LONG_ENOUGH_S = 0.05


def size_for(megabytes: float) -> int:
    """Return the smallest size that has so much memory, or the largest there is."""
    return SIZES[min(bisect.bisect_left(SIZES, megabytes), len(SIZES) - 1)]


@dataclass(frozen=True, slots=True)
class JobWork:
    """The needs of one job: ``waiting`` in seconds, ``cpu`` in seconds of one core."""

    waiting: float
    cpu: float


@dataclass(frozen=True)
class RunWork:
    """The needs of a run's jobs, which make use of at most so many ``cores``."""

    jobs: list[JobWork]
    cores: float

    @classmethod
    def from_record(cls, record: RunRecord) -> RunWork:
        """Divide the time of each job into computing and waiting."""
        tasks = record.tasks
        ratios = [
            cpu / seconds
            for cpu, seconds in zip(tasks.cpu, tasks.seconds, strict=True)
            if seconds >= _LONG_ENOUGH_S
        ]
        most = max(ratios, default=0.0)
        cores = most if most > _ONE_THREAD else 1.0
        had = cores_of(record)
        speed = cores if had is None else min(cores, had)
        jobs, at = [], 0
        for job in record.tasks.jobs:
            busy = computed = 0.0
            for place in range(at, at + sum(length for _, length in job.spans)):
                seconds, cpu = tasks.seconds[place], tasks.cpu[place]
                busy += seconds
                # What is too short to be measured is all CPU.
                measured = cpu or tasks.peak[place]
                computed += min(cpu, seconds * speed) if measured else seconds * min(1.0, speed)
                at += 1
            overhead = max(0.0, job.seconds - busy)
            waiting = max(0.0, busy - computed / speed)
            jobs.append(JobWork(waiting, computed + overhead * min(1.0, speed)))
        return cls(jobs, cores)

    def speed(self, memory: int) -> float:
        """Return how many cores the jobs use at a memory size in MB."""
        return min(self.cores, memory / MB_PER_CORE)

    def seconds(self, memory: int) -> float:
        """Return how long all jobs take together."""
        waiting, cpu = self._totals
        return waiting + cpu / self.speed(memory)

    @cached_property
    def _totals(self) -> tuple[float, float]:
        return sum(job.waiting for job in self.jobs), sum(job.cpu for job in self.jobs)

    def longest(self, memory: int) -> float:
        """Return how long the longest job takes."""
        speed = self.speed(memory)
        return max((job.waiting + job.cpu / speed for job in self.jobs), default=0.0)


def cores_of(record: RunRecord) -> float | None:
    """Return how many cores a worker had; None for all of the machine that emulated AWS."""
    header = record.header
    memory = header.get("memory")
    if header.get("emulated") and not header.get("cpu_limited"):
        return None
    return memory / MB_PER_CORE if memory else None
