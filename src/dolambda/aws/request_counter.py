"""Counts of AWS requests by action.

**Input:** one action at a time, from any thread. **Output:** totals, for the bill.

A request that AWS refused as too frequent is also counted under `THROTTLED`, its action and AWS's
reason: "throttled lambda:InvokeFunction ReservedFunctionConcurrentInvocationLimitExceeded". So one
mapping of counts travels from workers, and `without_throttled` divides it.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

THROTTLED = "throttled "
_MAX_REASON = 60
_SLOW_DOWN = b"<Code>SlowDown<"
_FIRST_ERROR = 400
_TOO_FREQUENT = frozenset({429, 503})


def is_throttled(status: int, body: bytes) -> bool:
    """Return whether S3 refused a request as too frequent."""
    return status in _TOO_FREQUENT or (status >= _FIRST_ERROR and _SLOW_DOWN in body)


def without_throttled(counts: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return counts of requests, and those of throttled ones by action and reason."""
    requests = {name: n for name, n in counts.items() if not name.startswith(THROTTLED)}
    throttled = {
        name.removeprefix(THROTTLED): n for name, n in counts.items() if name.startswith(THROTTLED)
    }
    return requests, throttled


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

    def throttled(self, action: str, reason: str = "") -> None:
        """Count a request that AWS refused as too frequent, for AWS's ``reason``."""
        self.add(f"{THROTTLED}{action} {reason[:_MAX_REASON]}".strip())

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
