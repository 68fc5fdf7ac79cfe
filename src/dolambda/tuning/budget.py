"""The budget of a tune: the worst case is reserved before a size is measured.

**Input:** dollars. **Output:** the time limit that a temporary function can be paid for.
"""

from __future__ import annotations

import math
import threading

_MIN_TIMEOUT_S = 3


class Budget:
    """Dollars that may be spent. Thread-safe."""

    def __init__(self, dollars: float) -> None:
        self.dollars = dollars
        self.spent = 0.0
        self._reserved = 0.0
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Dollars that are neither spent nor reserved."""
        with self._lock:
            return self.dollars - self.spent - self._reserved

    def timeout(self, wanted: float, jobs: int, second: float, *, share: float = 1.0) -> int | None:
        """Return a time limit in seconds that the budget covers for ``jobs``, or None.

        Args:
            wanted: Largest useful time limit.
            jobs: Number of jobs.
            second: Dollars a second of the function.
            share: Share of the rest that may be reserved.
        """
        affordable = math.floor(self.left * share / (jobs * second))
        found = min(math.ceil(wanted), affordable)
        return found if found >= _MIN_TIMEOUT_S else None

    def reserve(self, dollars: float) -> None:
        """Reserve dollars for a size."""
        with self._lock:
            self._reserved += dollars

    def settle(self, reserved: float, spent: float) -> None:
        """Return the reservation for a size, and count the dollars spent on it."""
        with self._lock:
            self._reserved -= reserved
            self.spent += spent
