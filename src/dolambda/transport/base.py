"""The interface of all transports.

**Input:** a sealed job. **Output:** the sealed reply, passed to the sender of the job.

A transport neither reads jobs and replies nor makes decisions: the scheduler decides what to send,
how often and until when.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolambda.aws.request_counter import RequestCounter
    from dolambda.wire.blob import Blob
    from dolambda.wire.outcome import Lost

OnReply = Callable[["bytes | BaseException"], None]
"""Receiver of the reply to a job, or of the reason why there is none: `Unanswered`, CancelledError
when the transport was closed, or an error.
"""


@dataclass(frozen=True, slots=True)
class SealedJob:
    """A job that is ready to be sent, and the blobs that must exist before it."""

    run: str
    number: int
    data: bytes = field(repr=False)
    blobs: tuple[Blob, ...] = ()


# Never shown: the scheduler sends the job again, or makes `LostError`s of it.
class Unanswered(Exception):  # noqa: N818
    """A job ended without a reply, and the transport knows it. ``lost`` is the reason."""

    def __init__(self, lost: Lost) -> None:
        """Create the error. ``lost`` becomes the outcome of its tasks if it is not sent again."""
        super().__init__(lost.detail)
        self.lost = lost


class Transport(Protocol):
    """The way to the workers and back.

    Methods are thread-safe. All but `withdraw` and `close` return at once.
    """

    calls: RequestCounter
    """AWS requests made on this side."""
    queues: bool
    """True if jobs can wait in the transport for a worker. Otherwise surplus jobs are refused."""

    def send(self, job: SealedJob, on_reply: OnReply) -> None:
        """Send a job, or send it again under its number.

        ``on_reply`` is called in a thread of the transport, at most once for each time that the job
        was sent, and not after `withdraw`.

        Raises:
            AwsError: The transport is closed.
        """
        ...

    def room(self, most: int) -> int:
        """Return the number of jobs that may be in flight now, at most ``most``."""
        ...

    def withdraw(self, run: str, numbers: Sequence[int]) -> None:
        """Forget cancelled jobs, and remove their objects. This method blocks."""
        ...

    def in_turn(self, call: Callable[[], None]) -> None:
        """Make a call that sends jobs, in turn with the replies or at once. Return after it.

        Raises:
            BaseException: What the call raises.
        """
        ...

    def after_replies(self, call: Callable[[], None]) -> None:
        """Make a short call once after the replies that have arrived together, or at once.

        The same call is made once, however often it is passed before.
        """
        ...

    def close(self) -> None:
        """Stop all threads. Jobs that still wait get CancelledError."""
        ...


def closed_underneath() -> BaseException:
    """Return the error for jobs that still wait when a transport is closed."""
    return CancelledError()
