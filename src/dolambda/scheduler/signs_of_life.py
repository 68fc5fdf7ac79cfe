"""Signs of life of a run's workers.

**Input:** replies, jobs without any. **Output:** the reason for giving up the run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dolambda.errors import NoReplyError

if TYPE_CHECKING:
    from dolambda.scheduler.jobs import InFlightJob


class SignsOfLife:
    """The last sign of a run's workers, and the jobs that were given up since."""

    def __init__(self) -> None:
        """Start without a sign."""
        self._last = -math.inf
        self._cause: NoReplyError | None = None
        self._jobs = 0

    @property
    def are_missing(self) -> bool:
        """True if a job has had all its attempts, without a sign since it was first sent."""
        return self._cause is not None

    def seen(self, now: float) -> None:
        """Record that a worker lives: it replied, or it died."""
        self._last = now
        self._cause, self._jobs = None, 0

    def since(self, moment: float) -> bool:
        """Return whether there was a sign at ``moment`` or later."""
        return self._last >= moment

    def given_up(self, job: InFlightJob, error: BaseException) -> None:
        """Record that a job has failed for good."""
        if isinstance(error, NoReplyError) and not self.since(job.first_sent):
            self._cause = error
            self._jobs += 1

    def take_cause(self, attempts: int) -> NoReplyError:
        """Return the reason for giving up the run, and forget it.

        Args:
            attempts: Number of times that each job was sent.
        """
        cause, jobs = self._cause, self._jobs
        self._cause = None
        if cause is not None and jobs == 1:
            return cause
        return NoReplyError(
            f"no worker has given a sign of life: {jobs} jobs were sent {attempts} times each, and "
            "none was answered; the run is given up",
            hint="`dolambda doctor` checks for the cause; `dolambda logs --all` shows whether "
            "workers "
            "start.",
        )
