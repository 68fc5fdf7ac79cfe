"""The states of a task between being submitted and being settled, and how jobs are cut from the queue.

    Waiting -- Loader.load --> Flight        a job on its way, and the futures it will settle
    Resting -- in its time --> Waiting       a failed task that is to be run again
    Flight  -- lost, halves -> Waiting       as `Suspects`, until the task that its job dies of stands alone

On entry: packed tasks; on leaving: jobs, with the blobs that have to be there before them.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dolambda.dispatch.batching import BYTES
from dolambda.dispatch.futures import start
from dolambda.wire.task import INLINE, INLINE_ONCE, Job, PackedTask, Surroundings

if TYPE_CHECKING:
    from collections import deque
    from concurrent.futures import Future

    from dolambda.dispatch.limits import Limits
    from dolambda.wire.blob import Blob

_REMEMBERED = 10_000  # digests of small blobs that have been sent inside a job


@dataclass(slots=True, eq=False)
class Suspects:
    """Tasks of which one may be what their job was lost of: they travel with none but each other.

    ``attempt``: how often each of them was sent so far. ``since``: when their job was first sent, on the monotonic clock.
    """

    attempt: int
    since: float


@dataclass(slots=True)
class Waiting:
    """A task in the queue.

    ``fruitless``: how often a job came back without an outcome for any of its tasks, this one among them; ``retried``: how
    often it has failed and was to be run again; ``suspects``: with whom it travels, None for with anyone.
    """

    task: PackedTask
    future: Future[Any]
    fruitless: int = 0
    retried: int = 0
    suspects: Suspects | None = None


@dataclass(order=True, slots=True)
class Resting:
    """A failed task until it may run again, at ``due`` on the monotonic clock."""

    due: float
    index: int
    waiting: Waiting = field(compare=False)


@dataclass(slots=True, eq=False)
class Flight:
    """A job on its way, and what is needed to send it again.

    ``inside`` are the blobs that travel in the job, ``blobs`` those that have to be there before it. ``attempt`` counts how often it
    was sent for lost, its tasks in larger jobs before it, ``copies`` how often it is under way now or about to be, ``copied`` whether
    it was sent once more for being slow. ``since``, when it or the first of those was sent, ``sent``, when it was sent last, and
    ``overdue``, when it is sent again (never of itself while it is not under way), are on the monotonic clock.
    """

    number: int
    cargo: dict[int, Waiting]
    inside: dict[str, bytes | memoryview]
    blobs: tuple[Blob, ...]
    attempt: int = 0
    copies: int = 0
    copied: bool = False
    since: float = 0.0
    sent: float = 0.0
    overdue: float = math.inf

    @property
    def under_way(self) -> bool:
        """Whether it is sent and an answer may still come."""
        return self.overdue < math.inf

    def halved(self) -> list[Waiting]:
        """Its tasks, which wait again: the first half of them in one job, the rest in another."""
        cargo = list(self.cargo.values())
        middle = (len(cargo) + 1) // 2
        for half in (cargo[:middle], cargo[middle:]):
            suspects = Suspects(self.attempt, self.since)
            for waiting in half:
                waiting.suspects = suspects
        return cargo


class Loader:
    """Cuts the jobs of one run. Called under the run's lock."""

    def __init__(
        self, run: str, limits: Limits, surroundings: Surroundings, *, same_buffers: bool
    ) -> None:
        """``same_buffers``: see `Packer`."""
        self._run = run
        self._limits = limits
        self._surroundings = surroundings
        self._same_buffers = same_buffers
        self._sent_inside: OrderedDict[str, None] = OrderedDict()

    def load(self, queue: deque[Waiting], size: int, number: int) -> Flight | None:
        """Take up to ``size`` tasks off the queue, as far as their bytes go together, for job ``number``; None if all were cancelled.

        Suspects go together, however many they are, and with no others.
        """
        cargo: dict[int, Waiting] = {}
        inside: dict[str, bytes | memoryview] = {}
        apart: dict[str, Blob] = {}
        room = BYTES
        suspects: Suspects | None = None
        while (
            queue
            and (suspects or len(cargo) < size)
            and (not cargo or (room > 0 and queue[0].suspects is suspects))
        ):
            waiting = queue.popleft()
            if not start(waiting.future):
                continue
            cargo[waiting.task.index] = waiting
            suspects = waiting.suspects
            room -= waiting.task.nbytes
            for blob in waiting.task.blobs:
                if blob.digest in inside or blob.digest in apart:
                    continue
                if self._goes_inside(blob, waiting.task.function):
                    inside[blob.digest] = blob.data
                    room -= len(blob.data)
                else:
                    apart[blob.digest] = blob
        if not cargo:
            return None
        flight = Flight(number, cargo, inside, tuple(apart.values()))
        if suspects:
            flight.attempt, flight.since = suspects.attempt, suspects.since
        return flight

    def job(self, flight: Flight, deadline: float, code: str | None) -> Job:
        """What travels. ``deadline`` is in seconds since the epoch, ``code`` names the bundle of the user's own modules."""
        return Job(
            run=self._run,
            number=flight.number,
            attempt=flight.attempt,
            deadline=deadline,
            tasks=tuple(waiting.task for waiting in flight.cargo.values()),
            inline=flight.inside,
            task_timeout=self._limits.task_timeout,
            code=code,
            surroundings=self._surroundings,
        )

    def _goes_inside(self, blob: Blob, function: str) -> bool:
        """Whether a blob travels in the job: a small function always; an array until it turns out that others share it.

        Where tasks are known to share what they are given, only a small array does.
        """
        if blob.digest == function and len(blob.data) <= INLINE:
            return True
        most = INLINE if self._same_buffers else INLINE_ONCE
        if len(blob.data) > most or blob.digest in self._sent_inside:
            return False
        self._sent_inside[blob.digest] = None
        if len(self._sent_inside) > _REMEMBERED:
            self._sent_inside.popitem(last=False)
        return True
