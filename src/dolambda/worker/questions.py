"""When a worker asks whether its job is still wanted.

Input: runs and moments. Output: when to ask next.

Not at all in the first seconds of a job, then at growing intervals, which continue over the jobs
of one run, however short each is: 2 s, 3 s, 4.5 s up to 17 s, each longer by up to a quarter at
random, so that workers that began together do not ask together.

Requests: a worker that is busy asks once in 17 s x 1.125 = 19 s. 10,000 workers make 523 a second,
a tenth of the 5,500 GETs a second that S3 serves under one prefix. At the beginning of a run each
worker asks five times in its first minute. Lambda starts at most 100 environments a second for one
function, so these are 500 a second more while it scales. A question that S3 refuses is not
repeated: the job is then taken to be wanted.
"""

from __future__ import annotations

import random

FIRST_S = 2.0
GROWTH = 1.5
LONGEST_S = 17.0
JITTER = 0.25
GRACE_S = 2.0
"""Seconds that a task has to finish once its job was cancelled."""

_BEFORE_REPLY_S = 1.0  # a job that took longer may ask once more before its reply is written


class QuestionTimes:
    """Of one execution environment."""

    def __init__(self) -> None:
        """No run has begun."""
        self._run: str | None = None
        self._interval = FIRST_S
        self._last = self._next = 0.0

    def begin(self, run: str, now: float) -> float:
        """Begin a job; return when to ask first."""
        if run != self._run:
            self._run, self._interval, self._last = run, FIRST_S, now
            self._next = now + self._jittered()
        return max(self._next, now + self._jittered(FIRST_S))

    def asked(self, now: float) -> float:
        """Note that a question was asked; return when to ask next."""
        self._last = now
        self._interval = min(self._interval * GROWTH, LONGEST_S)
        self._next = now + self._jittered()
        return self._next

    def due_before_reply(self, seconds: float, now: float) -> bool:
        """Return whether to ask before the reply of a job that took ``seconds`` is written."""
        return seconds > _BEFORE_REPLY_S and now - self._last > self._interval / 2

    def _jittered(self, seconds: float | None = None) -> float:
        longer = 1 + random.uniform(0, JITTER)  # noqa: S311 - jitter, no secret
        return (seconds or self._interval) * longer
