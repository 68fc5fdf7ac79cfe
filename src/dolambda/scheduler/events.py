"""What the scheduler is told, and what it has done.

Events go in, actions come out. Neither holds a thread, a lock, a clock or a request.
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
    """What is true while an event is handled.

    Attributes:
        now: Seconds on a clock that only goes forward.
        capacity: Jobs that each site takes now, of those that the run would send.
        requests: Dollars that this side's requests have cost so far; 0 without a budget.
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
    """The reply holds no outcome of these tasks' own. ``lost`` says why."""

    span: TaskSpan
    lost: Lost


Outcome = Values | Raised | Missing


# Events.


@dataclass(frozen=True, slots=True)
class Submitted:
    """Tasks were submitted. The counts are of those that need not be sent."""

    spans: Sequence[TaskSpan]
    done: int = 0
    failed: int = 0
    restored: int = 0


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    """A reply to a job has come and was opened.

    ``fruitless``: no task has an outcome of its own. ``seconds``: how long each task took.
    ``usage``: what the job took; None if its reply could not be read.
    """

    number: int
    outcomes: Sequence[Outcome]
    fruitless: bool
    seconds: Sequence[float]
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The transport knows that one sending of a job will have no reply. ``lost`` says why."""

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
    """The user has answered whether to go on after the pilot."""

    go_on: bool
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class WaitingCancelled:
    """Tasks that were never sent are to be cancelled."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The run was cancelled: what was never sent is cancelled, the rest fails with ``error``."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Broken:
    """The run cannot continue: everything that has no outcome fails with ``error``."""

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
    """Give consecutive tasks their values."""

    span: TaskSpan
    values: Sequence[Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fail:
    """Give tasks their error."""

    span: TaskSpan
    error: BaseException


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Cancel tasks that were never sent."""

    span: TaskSpan


@dataclass(frozen=True, slots=True)
class RemoveObjects:
    """Remove the objects of jobs that have ended. ``stop``: workers may still be running them."""

    numbers: Sequence[int]
    stop: bool = False


@dataclass(frozen=True, slots=True)
class AskToGoOn:
    """Ask the user whether to go on after the pilot."""

    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Warn:
    """Log a warning."""

    message: str


@dataclass(frozen=True, slots=True)
class GiveUpRun:
    """Take no more calls: all tasks have failed with ``error``."""

    error: BaseException


Action = SendJob | Deliver | Fail | Withdraw | RemoveObjects | AskToGoOn | Warn | GiveUpRun
Actions = list[Action]
