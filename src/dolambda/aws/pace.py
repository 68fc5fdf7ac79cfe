"""How fast requests may follow each other.

On entry: how much each costs; on leaving: seconds to wait before it. A token bucket: what was not
used for a while is there at once, up to a burst.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pace:
    """So much a second, for all threads together."""

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with a whole burst."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._lock = threading.Lock()
        self._left, self._seen = burst, clock()

    def take(self, cost: float) -> float:
        """Return the seconds to wait before something of this cost; it counts as done after them."""
        with self._lock:
            now = self._clock()
            self._left = min(self._burst, self._left + (now - self._seen) * self._rate) - cost
            self._seen = now
            return max(0.0, -self._left / self._rate)
