"""The time limit of clean-up after the user has cancelled or closed, shared by a whole session.

Removing objects needs the network, which may be the reason why the user gives up. Objects left in
the bucket expire, so nobody has to wait long for their removal.
"""

from __future__ import annotations

import time

SECONDS = 5.0


class CleanUp:
    """The time limit. Thread-safe.

    Attributes:
        abandoned: True if nothing is left to remove, because its place is gone.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        """Set the limit of one clean-up to ``seconds``."""
        self._seconds = seconds
        self._hopeless = self.abandoned = False

    def until(self) -> float:
        """Return when a clean-up that begins now must end, on the monotonic clock.

        It must end at once if the last one was given up.
        """
        at_once = self._hopeless or self.abandoned
        return time.monotonic() + (0.0 if at_once else self._seconds)

    def abandon(self) -> None:
        """Record that its place is gone. No later clean-up has anything to do."""
        self.abandoned = True

    def ended(self, *, done: bool) -> None:
        """Record whether clean-up was completed or given up."""
        self._hopeless = not done


def left(until: float) -> float:
    """Return the seconds until a moment on the monotonic clock, 0 if it has passed."""
    return max(0.0, until - time.monotonic())
