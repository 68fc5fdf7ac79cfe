"""The rate of requests.

**Input:** the cost of each request. **Output:** seconds to wait before it.

It is a token bucket: unused capacity accumulates up to a burst.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pace:
    """A rate for all threads together."""

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with a whole burst."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._lock = threading.Lock()
        self._left, self._seen = burst, clock()

    def take(self, cost: float) -> float:
        """Return the seconds to wait before a request of this cost, and count it."""
        with self._lock:
            now = self._clock()
            self._left = min(self._burst, self._left + (now - self._seen) * self._rate) - cost
            self._seen = now
            return max(0.0, -self._left / self._rate)
