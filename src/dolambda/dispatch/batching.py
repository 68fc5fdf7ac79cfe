"""How many tasks go into the next job. On entry: durations that workers measured; on leaving: a number.

A job should run long enough to be worth its requests, about `TARGET` seconds; yet every worker should have something to do,
and the last jobs should be short so that none is waited for alone. So: as many tasks as make `TARGET`, but never more than
an even share of half of what is left (guided self-scheduling: Polychronopoulos and Kuck, 1987), unless that would make a job
shorter than `LEAST`, which is about what its requests take.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET = 1.0
LEAST = 0.1
MOST = 10_000
BYTES = 4 << 20
"""Most bytes of arguments in one job; what is larger by itself travels alone."""

_FORGET = 0.8
_SHORTEST = (
    20e-6  # what a task costs at the least, so that a measured nought does not make a job endless
)


class Batcher:
    """Learns how long tasks take. ``fixed`` sets the number of tasks a job instead. For any thread."""

    def __init__(self, fixed: int | None = None) -> None:
        """Nothing is known yet: the first jobs hold one task each."""
        self._fixed = fixed
        self._lock = threading.Lock()
        self._seconds: float | None = None
        self._only_cold = True

    def learn(self, seconds: Sequence[float], *, cold: bool = False) -> None:
        """Take in the durations of a finished job's tasks.

        Those of a worker's first job (``cold``) count until there are others: imports are in them.
        """
        if not seconds:
            return
        mean = max(sum(seconds) / len(seconds), _SHORTEST)
        with self._lock:
            if cold and not self._only_cold:
                return
            anew = self._seconds is None or (self._only_cold and not cold)
            self._only_cold = cold
            keep = 0.0 if anew else _FORGET ** len(seconds)
            self._seconds = keep * (self._seconds or 0.0) + (1 - keep) * mean

    @property
    def knows(self) -> bool:
        """Whether a job's size is more than a guess."""
        return self._fixed is not None or self._seconds is not None

    def expected(self) -> float | None:
        """Seconds that a task takes; None while that is not known."""
        with self._lock:
            return self._seconds

    def size(self, waiting: int, workers: int) -> int:
        """How many of the ``waiting`` tasks the next job takes, with that many workers; 1 at least."""
        if self._fixed:
            return min(self._fixed, max(1, waiting))
        with self._lock:
            seconds = self._seconds
        if seconds is None:
            return 1
        share = max(math.ceil(waiting / (2 * workers)), int(LEAST / seconds))
        return max(1, min(int(TARGET / seconds), share, waiting, MOST))
