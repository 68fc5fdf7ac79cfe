"""Waiting tasks, jobs in flight, and the building of jobs from the queue.

    TaskSpan -- JobBuilder.next_job --> InFlightJob       tasks of the queue, together in a job
    TaskSpan <-- lost, bisected ------- InFlightJob       as members of a `BisectGroup`

**Input:** spans of packed tasks. **Output:** jobs, with the blobs that must exist before them.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from dolambda.scheduler.batching import JOB_BYTES
from dolambda.transport.base import SealedJob
from dolambda.wire.chunk import ChunkPart, joined
from dolambda.wire.job import Job, Place
from dolambda.wire.task import INLINE, INLINE_ONCE, TaskContext

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dolambda.scheduler.limits import Limits
    from dolambda.scheduler.waiting import TaskQueue
    from dolambda.wire.blob import Blob
    from dolambda.wire.chunk import Chunk

_REMEMBERED_DIGESTS = 10_000  # of small blobs that were sent inside a job


class Receiver(Protocol):
    """The receiver of a chunk's outcomes. Positions are those of the tasks in the chunk.

    Attributes:
        calls_users: True if it may block, for example in code of users that waits for other tasks.
    """

    calls_users: bool

    def claim(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the ranges of tasks that are still wanted. They cannot be cancelled any more."""
        ...

    def withdraw(self, start: int, stop: int) -> None:
        """Cancel tasks that were never sent."""
        ...

    def deliver(self, start: int, values: Sequence[Any]) -> None:
        """Accept the values of consecutive tasks."""
        ...

    def fail(self, start: int, stop: int, error: BaseException) -> None:
        """Accept the error of consecutive tasks."""
        ...


@dataclass(frozen=True, slots=True)
class BisectGroup:
    """Tasks of which one may be the cause of their job's loss. They travel only together.

    Attributes:
        attempt: Number of times that each was sent.
        first_sent: When their job was first sent, on the scheduler's clock.
    """

    attempt: int
    first_sent: float


@dataclass(frozen=True, slots=True, eq=False)
class TaskSpan:
    """Consecutive tasks of a chunk, in the queue or in a job.

    Attributes:
        part: The tasks.
        receiver: The receiver of their outcomes.
        sent: True if they were sent before, and so cannot be cancelled any more.
        empty_replies: Number of replies without an outcome for any task of their job.
        retried: Number of times that they failed and were scheduled to run again.
        group: The group that they travel with. None for any other tasks.
    """

    part: ChunkPart
    receiver: Receiver
    sent: bool = False
    empty_replies: int = 0
    retried: int = 0
    group: BisectGroup | None = None

    def __len__(self) -> int:
        """Return the number of tasks."""
        return self.part.stop - self.part.start

    def cut(self, start: int, stop: int, **changes: Any) -> TaskSpan:
        """Return the tasks between these positions of the chunk."""
        part = ChunkPart(self.part.chunk, start, stop)
        if changes:
            return replace(self, part=part, **changes)
        return TaskSpan(
            part, self.receiver, self.sent, self.empty_replies, self.retried, self.group
        )

    def claimed(self, start: int, stop: int) -> TaskSpan:
        """Return the tasks between these positions of the chunk, as tasks that are sent."""
        part = self.part
        if (start, stop) != (part.start, part.stop):
            part = ChunkPart(part.chunk, start, stop)
        sent = True
        return TaskSpan(part, self.receiver, sent, self.empty_replies, self.retried, self.group)

    def changed(self, **changes: Any) -> TaskSpan:
        """Return the same tasks with other attributes."""
        return self.cut(self.part.start, self.part.stop, **changes)

    def single(self, offset: int, **changes: Any) -> TaskSpan:
        """Return one task, by its offset in this span."""
        start = self.part.start + offset
        return self.cut(start, start + 1, **changes)


class JobState(Enum):
    """The state of a job. The table of transitions is in `state`."""

    IN_FLIGHT = auto()
    """Sent, and a reply may arrive."""
    BACKING_OFF = auto()
    """Lost before it began. It is sent again after a pause."""
    DONE = auto()
    """Its reply has arrived."""
    SPLIT = auto()
    """Lost. Its tasks wait to be sent in two jobs."""
    UNPAID = auto()
    """Lost. Its tasks wait until the budget allows sending them again."""
    GIVEN_UP = auto()
    """Its tasks have failed."""
    CANCELLED = auto()
    """The run was cancelled."""


@dataclass(slots=True, eq=False)
class InFlightJob:
    """A job that has been sent, and what is needed to send it again.

    Attributes:
        number: Its number in the run.
        spans: Its tasks.
        inline: Blobs that travel in the job.
        blobs: Blobs that must exist before it.
        site: Where it was sent.
        state: See `JobState`.
        attempt: Number of times it was sent after losses, including larger jobs with its tasks.
        copies: Number of copies in flight now.
        copied: True if a copy was sent because it was slow.
        part_rate: Parts of its tasks' output that it may put in a second.
        first_sent: When it, or the first job that held its tasks, was sent.
        last_sent: When it was sent last.
        deadline: When it counts as lost. All three on the scheduler's clock.
    """

    number: int
    spans: list[TaskSpan]
    inline: dict[str, bytes | memoryview] = field(repr=False)
    blobs: tuple[Blob, ...] = field(repr=False)
    site: int = 0
    state: JobState = JobState.IN_FLIGHT
    attempt: int = 0
    copies: int = 0
    copied: bool = False
    part_rate: float = 0.0
    first_sent: float = 0.0
    last_sent: float = 0.0
    deadline: float = math.inf
    _tasks: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Count the tasks."""
        self._tasks = sum(map(len, self.spans))

    def __len__(self) -> int:
        """Return the number of tasks."""
        return self._tasks

    def indexes(self) -> Iterator[int]:
        """Yield the index of each task."""
        for span in self.spans:
            yield from range(span.part.first, span.part.first + len(span))

    def sent(self, now: float, deadline: float) -> None:
        """Record one more attempt."""
        self.state = JobState.IN_FLIGHT
        self.attempt += 1
        self.copies, self.copied = 1, False
        self.last_sent = now
        self.first_sent = self.first_sent or now
        self.deadline = deadline

    def halves(self) -> list[TaskSpan]:
        """Return its tasks as two groups that do not travel together."""
        middle = (len(self) + 1) // 2
        halves: list[TaskSpan] = []
        groups = [BisectGroup(self.attempt, self.first_sent) for _ in range(2)]
        for span in self.spans:
            at = min(max(middle, 0), len(span))
            start, cut, stop = span.part.start, span.part.start + at, span.part.stop
            if at:
                halves.append(span.cut(start, cut, group=groups[0]))
            if cut < stop:
                halves.append(span.cut(cut, stop, group=groups[1]))
            middle -= len(span)
        return halves


class JobBuilder:
    """Builds the jobs of one run from the queue."""

    def __init__(
        self,
        run: str,
        limits: Limits,
        context: TaskContext | None,
        *,
        place: Place | None,
        same_buffers: bool,
    ) -> None:
        """Prepare building. For ``same_buffers`` see `Packer`."""
        self._run = run
        self._limits = limits
        self._context = context or TaskContext()
        self._place = place or Place()
        self._same_buffers = same_buffers
        self._sent_inside: OrderedDict[str, None] = OrderedDict()
        self._common: tuple[str | None, str] | None = None

    def next_job(self, queue: TaskQueue, size: int, number: int) -> InFlightJob | None:
        """Take up to ``size`` tasks off the queue, as far as their bytes fit in one job.

        A bisect group travels whole, and with no others.

        Returns:
            The job. None if all tasks of the queue were cancelled.
        """
        spans: list[TaskSpan] = []
        inline: dict[str, bytes | memoryview] = {}
        apart: dict[str, Blob] = {}
        tasks, capacity = 0, JOB_BYTES
        group: BisectGroup | None = None
        while queue and (not tasks or (capacity > 0 and queue.first.group is group)):
            span, start = queue.first, queue.start
            most = left = span.part.stop - start
            if not span.group:
                if tasks >= size:
                    break
                most = _fitting(span.part.chunk, start, min(size - tasks, left), capacity)
            queue.take(most)
            for wanted in _claimed(span, start, start + most):
                spans.append(wanted)
                group = wanted.group
                tasks += len(wanted)
                capacity -= wanted.part.nbytes
                capacity -= self._place_blobs(wanted.part, inline, apart)
        if not spans:
            return None
        job = InFlightJob(number, spans, inline, tuple(apart.values()))
        if group:
            job.attempt, job.first_sent = group.attempt, group.first_sent
        return job

    def sealed(self, job: InFlightJob, deadline: float, code: Blob | None, key: bytes) -> SealedJob:
        """Return the job as it is sent."""
        travelling = Job(
            run=self._run,
            number=job.number,
            attempt=job.attempt,
            deadline=deadline,
            parts=joined([span.part for span in job.spans]),
            inline=job.inline,
            task_timeout=self._limits.task_timeout,
            code=code.digest if code else None,
            context=self._context,
            place=self._place,
            # A copy would send the same lines again.
            part_interval=1 / job.part_rate if job.part_rate and not job.copied else None,
        )
        blobs = (*job.blobs, code) if code else job.blobs
        common = self._common_header(travelling)
        return SealedJob(self._run, job.number, travelling.to_bytes(key, common), blobs)

    def _common_header(self, job: Job) -> str:
        if self._common is None or self._common[0] != job.code:
            self._common = (job.code, job.common_header())
        return self._common[1]

    def _place_blobs(
        self, part: ChunkPart, inline: dict[str, bytes | memoryview], apart: dict[str, Blob]
    ) -> int:
        """Decide how each blob of a part travels. Return the bytes that travel in the job."""
        inside = 0
        for digest in part.digests:
            if digest in inline or digest in apart:
                continue
            blob = part.chunk.blobs[digest]
            if self._goes_inside(blob, part.chunk.function):
                inline[digest] = blob.data
                inside += len(blob.data)
            else:
                apart[digest] = blob
        return inside

    def _goes_inside(self, blob: Blob, function: str) -> bool:
        """Return whether a blob travels in the job.

        A small function always does. An array does until other jobs need it too. If tasks are known
        to share their arguments, only a small array does.
        """
        if blob.digest == function and len(blob.data) <= INLINE:
            return True
        most = INLINE if self._same_buffers else INLINE_ONCE
        if len(blob.data) > most or blob.digest in self._sent_inside:
            return False
        self._sent_inside[blob.digest] = None
        if len(self._sent_inside) > _REMEMBERED_DIGESTS:
            self._sent_inside.popitem(last=False)
        return True


def _claimed(span: TaskSpan, start: int, stop: int) -> list[TaskSpan]:
    """Return the tasks of a range that are still wanted, as tasks that are sent."""
    wanted = [(start, stop)] if span.sent else span.receiver.claim(start, stop)
    return [span.claimed(*one) for one in wanted]


def _fitting(chunk: Chunk, start: int, most: int, capacity: int) -> int:
    """Return how many of ``most`` tasks from ``start`` on fit into the bytes, at least one."""
    if chunk.nbytes(start, start + most) <= capacity and not chunk.buffers:
        return most
    taken, used = 0, 0
    known: set[str] = set()
    while taken < most and (not taken or used < capacity):
        used += chunk.nbytes(start + taken, start + taken + 1)
        for digest in chunk.buffers.get(start + taken, ()):
            nbytes = len(chunk.blobs[digest].data)
            if digest not in known and nbytes <= INLINE_ONCE:
                used += nbytes
            known.add(digest)
        taken += 1
    return taken
