"""The messages about a lost job.

**Input:** the job, and the reason why it has no reply. **Output:** texts for its tasks and the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.scheduler import events as ev
from dolambda.wire.outcome import NO_REPLY, NOT_STARTED, Lost

if TYPE_CHECKING:
    from dolambda.scheduler.jobs import InFlightJob

_NAMED_TASKS = 5  # tasks of a lost job that a message names


def final(lost: Lost) -> Lost:
    """Return the final reason why a job's tasks are lost."""
    reason = NO_REPLY if lost.reason == NOT_STARTED else lost.reason
    return Lost(reason, lost.detail, lost.hint)


def overdue(job: InFlightJob) -> Lost:
    """Return the reason for a job whose deadline has passed."""
    few = len(job) <= _NAMED_TASKS
    tasks = ", ".join(f"task {index}" for index in job.indexes()) if few else f"{len(job):,} tasks"
    return Lost(
        NO_REPLY,
        f"no reply to job {job.number} ({tasks}) came after "
        f"{job.attempt} {'attempt' if job.attempt == 1 else 'attempts'}",
        "`dolambda status` shows whether the stack exists; its log shows whether workers start.",
    )


def resent(job: InFlightJob, lost: Lost, how: str) -> ev.Warn:
    """Return the warning that a job is sent once more, with the reason."""
    return ev.Warn(f"job {job.number} is sent {how}: {lost.detail}")
