"""When a job near the end of a run gets a copy. On entry: how long jobs were under way; on leaving: how long is too long.

One slow worker must not hold up what a thousand have done (speculative execution: Dean and Ghemawat, MapReduce, 2004, section 3.6).
Only once nothing waits any more and workers are idle, and only after a multiple of what nearly all jobs took: a copy costs what it runs.
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

    def landed(self, seconds: float) -> None:
        """A job came back after so long under way."""
        self._seconds.append(seconds)

    def patience(self) -> float | None:
        """Seconds under way after which a job is too slow; None while that is not known."""
        if not self._copy or len(self._seconds) < _ENOUGH:
            return None
        in_order = sorted(self._seconds)
        return max(_LEAST, _TIMES * in_order[int(_NEARLY_ALL * (len(in_order) - 1))])
