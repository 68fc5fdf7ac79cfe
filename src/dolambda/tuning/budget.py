"""The budget of a tune: the worst case is reserved before a size is measured.

**Input:** dollars. **Output:** the time limit that a temporary function can be paid for.
"""

from __future__ import annotations

import math
import threading

_MIN_TIMEOUT_S = 3


class Budget:
    """Dollars that may be spent. For any thread."""

    def __init__(self, dollars: float) -> None:
        self.dollars = dollars
        self.spent = 0.0
        self._reserved = 0.0
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """What is neither spent nor reserved."""
        with self._lock:
            return self.dollars - self.spent - self._reserved

    def timeout(self, wanted: float, jobs: int, second: float, *, share: float = 1.0) -> int | None:
        """Return a time limit in seconds that so many jobs can be paid for, None if there is none.

        Args:
            wanted: Largest time limit that is of use.
            jobs: Number of jobs.
            second: Dollars a second of the function.
            share: Share of what is left that may be reserved.
        """
        affordable = math.floor(self.left * share / (jobs * second))
        found = min(math.ceil(wanted), affordable)
        return found if found >= _MIN_TIMEOUT_S else None

    def reserve(self, dollars: float) -> None:
        """Keep dollars for a size."""
        with self._lock:
            self._reserved += dollars

    def settle(self, reserved: float, spent: float) -> None:
        """Take back what was reserved for a size, and count what was spent on it."""
        with self._lock:
            self._reserved -= reserved
            self.spent += spent
