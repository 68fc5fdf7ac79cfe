"""Signs of life of a run's workers.

Input: replies, jobs without any. Output: why the run is given up.
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
        """No worker has been heard of."""
        self._last = -math.inf
        self._cause: NoReplyError | None = None
        self._jobs = 0

    @property
    def are_missing(self) -> bool:
        """True if a job has had all its attempts and no worker was heard of since it was first sent."""
        return self._cause is not None

    def seen(self, now: float) -> None:
        """Note that a worker lives: it replied, or it died."""
        self._last = now
        self._cause, self._jobs = None, 0

    def since(self, moment: float) -> bool:
        """Return whether a worker was heard of at ``moment`` or later."""
        return self._last >= moment

    def given_up(self, job: InFlightJob, error: BaseException) -> None:
        """Note that a job has failed for good."""
        if isinstance(error, NoReplyError) and not self.since(job.first_sent):
            self._cause = error
            self._jobs += 1

    def take_cause(self, attempts: int) -> NoReplyError:
        """Return why the run is given up, and forget it.

        Args:
            attempts: How often each job was sent.
        """
        cause, jobs = self._cause, self._jobs
        self._cause = None
        if cause is not None and jobs == 1:
            return cause
        return NoReplyError(
            f"no worker has given a sign of life: {jobs} jobs were sent {attempts} times each, and "
            "none was answered; the run is given up",
            hint="`dolambda doctor` looks for the cause; `dolambda logs --all` shows whether "
            "workers "
            "start.",
        )
