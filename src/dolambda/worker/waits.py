"""The durations that a worker waits, in one value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Waits:
    """Durations in seconds.

    Attributes:
        begin: In which a child that has run tasks must begin the next job. A slower child is
            stopped, or its threads leave it no time.
        first_question: From the begin of a job to its first question (`QuestionTimes`).
        grace: That a task has to finish after its job was cancelled.
        first_part: That a task has run before its first part of output is sent. The output of
            shorter ones is in the reply soon enough.
    """

    begin: float = 5.0
    first_question: float = 2.0
    grace: float = 2.0
    first_part: float = 2.0


DEFAULT = Waits()
