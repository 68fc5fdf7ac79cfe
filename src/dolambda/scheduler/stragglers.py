"""When a job near the end of a run gets a copy.

On entry: how long jobs were under way; on leaving: how long is too long.

One slow worker must not hold up what a thousand have done (speculative execution: Dean and
Ghemawat, MapReduce, 2004, section 3.6). Only once nothing waits any more and workers are idle, and
only after a multiple of what nearly all jobs took: a copy costs what it runs.
"""

from __future__ import annotations

from collections import deque

_REMEMBERED = 500
_ENOUGH = 8  # jobs that must have landed before any is called slow
_NEARLY_ALL = 0.9
_TIMES = 3.0
_LEAST = 2.0  # seconds: below that a copy gains nothing


class Stragglers:
    """Of one run. Called under the run's lock."""

    def __init__(self, *, copy: bool) -> None:
        """Without ``copy`` no job is ever too slow."""
        self._copy = copy
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._patience: float | None = None
        self._new = 0

    def completed(self, seconds: float) -> None:
        """A job came back after so long under way."""
        self._seconds.append(seconds)
        self._new += 1

    def patience(self) -> float | None:
        """Seconds under way after which a job is too slow; None while that is not known."""
        if (
            self._copy
            and len(self._seconds) >= _ENOUGH
            and (self._patience is None or self._new >= _ENOUGH)
        ):
            in_order = sorted(self._seconds)
            self._patience = max(_LEAST, _TIMES * in_order[int(_NEARLY_ALL * (len(in_order) - 1))])
            self._new = 0
        return self._patience
