"""The times at which a worker asks whether its job is still wanted.

**Input:** runs and times. **Output:** the time of the next question.

In the first seconds of a job there is no question. Then the intervals grow: 2 s, 3 s, 4.5 s up to
17 s. They continue over the jobs of one run, however short each is. Each is longer by up to a
quarter at random, so that workers that began together do not ask together.

The load: a busy worker asks once in 17 s x 1.125 = 19 s. 10,000 workers make 523 requests a second,
a tenth of the 5,500 GETs a second that S3 serves under one prefix. At the beginning of a run each
worker asks five times in its first minute. Lambda starts at most 100 environments a second for one
function, so these are 500 more a second while it scales. A question that S3 refuses is not
repeated: the job then counts as wanted.
"""

from __future__ import annotations

import random

from dolambda.worker.waits import DEFAULT

GROWTH = 1.5
LONGEST_S = 17.0
JITTER = 0.25

_BEFORE_REPLY_S = 1.0  # a job that took longer may ask once more before its reply is written


class QuestionTimes:
    """The times of one execution environment."""

    def __init__(self, first: float = DEFAULT.first_question) -> None:
        """Start without a run. The first question of a run comes after ``first`` seconds."""
        self._first = first
        self._run: str | None = None
        self._interval = first
        self._last = self._next = 0.0

    def begin(self, run: str, now: float) -> float:
        """Begin a job, and return the time of its first question."""
        if run != self._run:
            self._run, self._interval, self._last = run, self._first, now
            self._next = now + self._jittered()
        return max(self._next, now + self._jittered(self._first))

    def asked(self, now: float) -> float:
        """Record that a question was asked, and return the time of the next one."""
        self._last = now
        self._interval = min(self._interval * GROWTH, LONGEST_S)
        self._next = now + self._jittered()
        return self._next

    def due_before_reply(self, seconds: float, now: float) -> bool:
        """Return whether to ask before writing the reply of a job that took ``seconds``."""
        return seconds > _BEFORE_REPLY_S and now - self._last > self._interval / 2

    def _jittered(self, seconds: float | None = None) -> float:
        longer = 1 + random.uniform(0, JITTER)  # noqa: S311 - jitter is no secret
        return (seconds or self._interval) * longer
