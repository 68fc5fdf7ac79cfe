"""The times at which a worker asks whether its job is still wanted.

**Input:** runs and times. **Output:** the time of the next question.

In the first seconds of a job there is no question. Then the intervals grow: 2 s, 3 s, 4.5 s up to
17 s. They continue over the jobs of one run, however short each is. Each is longer by up to a
quarter at random, so that workers that began together do not ask together.

The load: all workers of a stack together ask some `MAX_PER_S` times a second, less than a tenth of
the 5,500 GETs a second that S3 serves under one prefix. So each of 10,000 workers waits for at
least 28 s between two questions, and for 28 to 57 s before its first one in a run, also when all
begin at once. Fewer than 700 workers ask as described above. A question that S3 refuses is not
repeated: the job then counts as wanted. tests/unit/worker/test_questions.py simulates it.
"""

from __future__ import annotations

import random

from dolambda.worker.waits import DEFAULT

GROWTH = 1.5
LONGEST_S = 17.0
JITTER = 0.25
MAX_PER_S = 350.0
"""Questions of all workers of a stack together."""

_BEFORE_REPLY_S = 1.0  # a job that took longer may ask once more before its reply is written


class QuestionTimes:
    """The times of one execution environment."""

    def __init__(self, first: float = DEFAULT.first_question, workers: int = 1) -> None:
        """Start without a run.

        The first question of a run comes after ``first`` seconds, or later if the stack has many
        ``workers``.
        """
        self._first = first
        self._shared = workers / MAX_PER_S  # seconds in which each worker may ask once
        self._run: str | None = None
        self._interval = max(first, self._shared)
        self._last = self._next = 0.0

    def begin(self, run: str, now: float) -> float:
        """Begin a job, and return the time of its first question."""
        # Apart also where many begin together.
        apart = random.uniform(0, max(JITTER * self._first, self._shared))  # noqa: S311 - no secret
        if run != self._run:
            self._run, self._interval, self._last = run, max(self._first, self._shared), now
            self._next = now + self._interval + apart
        return max(self._next, now + self._first + apart)

    def asked(self, now: float) -> float:
        """Record that a question was asked, and return the time of the next one."""
        self._last = now
        self._interval = max(min(self._interval * GROWTH, LONGEST_S), self._shared)
        self._next = now + self._jittered(self._interval)
        return self._next

    def due_before_reply(self, seconds: float, now: float) -> bool:
        """Return whether to ask before writing the reply of a job that took ``seconds``.

        Not in a wide stack: jobs that began together end together, so many workers would ask in
        the same moment. A reply that nobody wants any more then expires.
        """
        few = self._shared <= self._first / 2
        return few and seconds > _BEFORE_REPLY_S and now - self._last > self._interval / 2

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 + random.uniform(0, JITTER))  # noqa: S311 - jitter is no secret
