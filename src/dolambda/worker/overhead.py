"""Seconds that an invocation takes outside `Worker.run`: Lambda bills them too.

Input: how long fetching a job took, and what came after its reply was sealed. Output: what a reply
adds to its own seconds. Sending a reply cannot be in it, so that is expected to take what it took
the last time, or what fetching took; what it takes longer is added to the next reply.
"""

from __future__ import annotations


class Overhead:
    """Of one execution environment."""

    def __init__(self) -> None:
        """Nothing was measured yet."""
        self._last = self._expected = self._owed = 0.0

    def of_reply(self, before: float) -> float:
        """Return what a reply adds to its seconds, of which ``before`` were spent already."""
        self._expected = max(self._last, before)
        owed, self._owed = self._owed, 0.0
        return before + self._expected + owed

    def ended(self, after: float) -> None:
        """Note what an invocation took beyond what its reply says, or all of it without a reply."""
        self._owed += max(0.0, after - self._expected)
        self._last, self._expected = after if self._expected else self._last, 0.0
