"""What a transport is. On entry: a sealed job; on leaving: a future of the sealed reply.

A transport neither looks into jobs and replies nor decides anything: what to send, how often and until when is dispatch's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from dolambda.aws.calls import Calls
    from dolambda.wire.blob import Blob
    from dolambda.wire.outcome import Lost


@dataclass(frozen=True, slots=True)
class SealedJob:
    """A job ready to go, and the blobs that must be there before it."""

    run: str
    number: int
    data: bytes = field(repr=False)
    blobs: tuple[Blob, ...] = ()


class Unanswered(Exception):  # noqa: N818 - never shown: dispatch sends the job again, or makes `LostError`s of it
    """A job ended without an answer, and this transport knows it: ``lost`` says why."""

    def __init__(self, lost: Lost) -> None:
        """``lost`` is what its tasks become once it is not sent again."""
        super().__init__(lost.detail)
        self.lost = lost


class Transport(Protocol):
    """The way to the workers and back. Methods return at once and may be called from any thread."""

    calls: Calls
    """AWS requests made on this side."""

    def send(self, job: SealedJob) -> Future[bytes]:
        """Send a job. Sent again under its old number it gives the same future again, while that is open: the first reply wins.

        The future may raise `Unanswered`.
        """
        ...

    def room(self, most: int) -> int:
        """How many jobs may be under way now, of the ``most`` that a run would have."""
        ...

    def withdraw(self, run: str, numbers: Sequence[int]) -> None:
        """Nobody waits for these jobs any more: forget them and remove what they left. This one blocks."""
        ...

    def close(self) -> None:
        """Stop all threads. Futures still waiting are cancelled."""
        ...
