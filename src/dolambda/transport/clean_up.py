"""The time that clean-up may hold up someone who has cancelled or closes.

Shared by all of a session.

Removing objects needs the network, which may be why the user gives up. What is left in the bucket
expires by itself, so nobody has to wait for it long.
"""

from __future__ import annotations

import time

SECONDS = 5.0


class CleanUp:
    """For any thread."""

    def __init__(self, seconds: float = SECONDS) -> None:
        """``seconds`` is how long one clean-up may take."""
        self._seconds = seconds
        self._hopeless = False

    def until(self) -> float:
        """When clean-up that begins now is given up, on the monotonic clock: now, if the last was."""
        return time.monotonic() + (0.0 if self._hopeless else self._seconds)

    def ended(self, *, done: bool) -> None:
        """Note whether clean-up came to its end, or was given up."""
        self._hopeless = not done


def left(until: float) -> float:
    """Seconds from now to a moment on the monotonic clock, 0 if it has passed."""
    return max(0.0, until - time.monotonic())
