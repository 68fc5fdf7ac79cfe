"""Counts of AWS requests by action.

**Input:** one action at a time, from any thread. **Output:** totals, for the bill.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class RequestCounter:
    """Totals by action, in IAM's spelling ("s3:PutObject"), and bytes ``sent`` and ``received``."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._totals: Counter[str] = Counter()
        self.sent = self.received = 0

    def add(self, action: str, times: int = 1, *, sent: int = 0, received: int = 0) -> None:
        """Count a request, and the bytes of objects that went with it."""
        with self._lock:
            self._totals[action] += times
            self.sent += sent
            self.received += received

    def merge(self, totals: Mapping[str, int]) -> None:
        """Add the counts of another place."""
        with self._lock:
            self._totals.update(totals)

    def take(self) -> dict[str, int]:
        """Return the totals and restart at zero."""
        with self._lock:
            totals, self._totals = self._totals, Counter()
        return dict(totals)

    def totals(self) -> dict[str, int]:
        """Return the totals."""
        with self._lock:
            return dict(self._totals)
