"""What a transport is.

On entry: a sealed job; on leaving: the sealed reply, handed to the sender of the job.

A transport neither looks into jobs and replies nor decides anything: what to send, how often and
until when is dispatch's.
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
"""Gets the reply to a job, or why there is none: `Unanswered`, CancelledError when the transport
was closed, or what went wrong.
"""


@dataclass(frozen=True, slots=True)
class SealedJob:
    """A job ready to go, and the blobs that must be there before it."""

    run: str
    number: int
    data: bytes = field(repr=False)
    blobs: tuple[Blob, ...] = ()


# Never shown: dispatch sends the job again, or makes `LostError`s of it.
class Unanswered(Exception):  # noqa: N818
    """A job ended without an answer, and this transport knows it: ``lost`` says why."""

    def __init__(self, lost: Lost) -> None:
        """``lost`` is what its tasks become once it is not sent again."""
        super().__init__(lost.detail)
        self.lost = lost


class Transport(Protocol):
    """The way to the workers and back.

    Methods may be called from any thread; all but `withdraw` and `close` return at once.
    """

    calls: RequestCounter
    """AWS requests made on this side."""
    queues: bool
    """Whether jobs may wait there for a worker. If not, one too many is refused."""

    def send(self, job: SealedJob, on_reply: OnReply) -> None:
        """Send a job, or send it again under its number.

        ``answered`` is called in a thread of the transport's.

        It may be called once for each time that the job was sent; not after `withdraw`. Raises
        `AwsError` once closed.
        """
        ...

    def room(self, most: int) -> int:
        """How many jobs may be under way now, of the ``most`` that a run would have."""
        ...

    def withdraw(self, run: str, numbers: Sequence[int]) -> None:
        """Forget cancelled jobs, and remove what they left. This one blocks."""
        ...

    def close(self) -> None:
        """Stop all threads. Jobs that still wait are answered with CancelledError."""
        ...


def closed_underneath() -> BaseException:
    """The answer to jobs that still wait when a transport is closed."""
    return CancelledError()
