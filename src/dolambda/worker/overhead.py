"""Seconds that an invocation takes outside `Worker.run`, which Lambda bills too.

**Input:** the time for fetching a job, and the time after its reply was sealed. **Output:** the
seconds that a reply adds to its own.

A reply cannot contain the time for sending itself. It contains an estimate: the time that the last
reply took, or the time of fetching. The next reply adds the difference.
"""

from __future__ import annotations


class Overhead:
    """The overhead of one execution environment."""

    def __init__(self) -> None:
        """Start without measurements."""
        self._last = self._expected = self._owed = 0.0

    def of_reply(self, before: float) -> float:
        """Return what a reply adds to its seconds. ``before`` seconds of it have already passed."""
        self._expected = max(self._last, before)
        owed, self._owed = self._owed, 0.0
        return before + self._expected + owed

    def ended(self, after: float) -> None:
        """Record an invocation's time beyond that of its reply, or all of it without a reply."""
        self._owed += max(0.0, after - self._expected)
        self._last, self._expected = after if self._expected else self._last, 0.0
