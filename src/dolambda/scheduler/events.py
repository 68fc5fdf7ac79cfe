"""The events that the scheduler handles, and the actions that it returns.

Neither holds a thread, a lock, a clock or a request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolambda.scheduler.jobs import InFlightJob, TaskSpan
    from dolambda.scheduler.pilot import Estimate
    from dolambda.wire.outcome import Lost, Usage


@dataclass(frozen=True, slots=True)
class Moment:
    """The circumstances of an event.

    Attributes:
        now: Seconds on a clock that only goes forward.
        capacity: Jobs that each site accepts now, of those that the run would send.
        requests: Dollars that this side's requests have cost so far, 0 without a budget.
    """

    now: float
    capacity: Sequence[int]
    requests: float = 0.0


# Outcomes, as `ReplyReceived` carries them.


@dataclass(frozen=True, slots=True)
class Values:
    """Consecutive tasks returned these values."""

    span: TaskSpan
    values: Sequence[Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Raised:
    """Tasks ended with an error: one with its own, or all of a job that was refused."""

    span: TaskSpan
    error: BaseException


@dataclass(frozen=True, slots=True)
class Missing:
    """The reply holds no outcome of these tasks. ``lost`` is the reason."""

    span: TaskSpan
    lost: Lost


Outcome = Values | Raised | Missing


# Events.


@dataclass(frozen=True, slots=True)
class Submitted:
    """Tasks were submitted. The counts are those of tasks that need not be sent."""

    spans: Sequence[TaskSpan]
    done: int = 0
    failed: int = 0
    restored: int = 0


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    """A reply to a job has arrived and was opened.

    Attributes:
        fruitless: True if no task has an outcome of its own.
        seconds: The time that each task took.
        usage: Resources that the job took. None if its reply could not be read.
    """

    number: int
    outcomes: Sequence[Outcome]
    fruitless: bool
    seconds: Sequence[float]
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The transport knows that one attempt of a job will have no reply. ``lost`` is the reason."""

    number: int
    attempt: int
    lost: Lost


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A job cannot be sent, or its reply cannot be fetched. Its tasks fail with ``error``."""

    number: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class EstimateConfirmed:
    """The user has answered whether to continue after the pilot."""

    go_on: bool
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class WaitingCancelled:
    """The tasks that were never sent must be cancelled."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The run was cancelled: unsent tasks are cancelled, the others fail with ``error``."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Broken:
    """The run cannot continue: all tasks without an outcome fail with ``error``."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Closed:
    """No more tasks will be submitted."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed, or there may be capacity."""


Event = (
    Submitted
    | ReplyReceived
    | AttemptLost
    | JobFailed
    | EstimateConfirmed
    | WaitingCancelled
    | Cancelled
    | Broken
    | Closed
    | Tick
)


# Actions.


@dataclass(frozen=True, slots=True)
class SendJob:
    """Send a job, for the first time, again, or as a copy."""

    job: InFlightJob
    attempt: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """Pass consecutive tasks their values."""

    span: TaskSpan
    values: Sequence[Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fail:
    """Fail tasks with an error."""

    span: TaskSpan
    error: BaseException


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Cancel tasks that were never sent."""

    span: TaskSpan


@dataclass(frozen=True, slots=True)
class RemoveObjects:
    """Remove the objects of jobs that have ended.

    With ``stop``, workers may still be running them.
    """

    numbers: Sequence[int]
    stop: bool = False


@dataclass(frozen=True, slots=True)
class AskToGoOn:
    """Ask the user whether to continue after the pilot."""

    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Warn:
    """Log a warning."""

    message: str


@dataclass(frozen=True, slots=True)
class GiveUpRun:
    """Accept no more calls: all tasks have failed with ``error``."""

    error: BaseException


Action = SendJob | Deliver | Fail | Withdraw | RemoveObjects | AskToGoOn | Warn | GiveUpRun
Actions = list[Action]
