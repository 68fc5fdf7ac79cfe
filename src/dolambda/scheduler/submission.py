"""From calls to tasks that can be sent.

**Input:** functions with their arguments. **Output:** spans in the queue.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dolambda.errors import TooLargeError
from dolambda.scheduler.futures import TaskFuture
from dolambda.scheduler.jobs import TaskSpan
from dolambda.scheduler.results import FutureReceiver
from dolambda.wire.chunk import Chunk, ChunkPart
from dolambda.wire.outcome import Value
from dolambda.wire.packer import joined_singles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from dolambda.scheduler.jobs import Receiver
    from dolambda.scheduler.limits import Limits
    from dolambda.scheduler.stored import Stored
    from dolambda.wire.outcome import PackedOutcome
    from dolambda.wire.packer import Packer, Refused, Single

Call = tuple["Callable[..., Any]", "tuple[Any, ...]", "dict[str, Any]"]


class Batch:
    """The result of submitting one chunk: waiting spans, and outcomes that are already known.

    Attributes:
        spans: Tasks to be sent.
        restored: Outcomes of an earlier client of a named run, by position.
        refused: Errors of tasks that cannot be sent, by position.
        receiver: The receiver of the outcomes.
    """

    __slots__ = ("receiver", "refused", "restored", "spans")

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.spans: list[TaskSpan] = []
        self.restored: list[tuple[int, PackedOutcome]] = []
        self.refused: list[tuple[int, BaseException]] = []

    def settle(self) -> None:
        """Complete the tasks whose outcomes are already known."""
        for position, packed in self.restored:
            outcome = packed.open()
            if isinstance(outcome, Value):
                self.receiver.claim(position, position + 1)
                self.receiver.deliver(position, [outcome.value])
            else:
                self.receiver.fail(position, position + 1, outcome.to_error())
        for position, error in self.refused:
            self.receiver.fail(position, position + 1, error)


class Submission:
    """Numbering and pickling of one run's calls, in the order of submission. Thread-safe.

    Single calls are pickled at once and collected. `drain` joins those of one function.

    Args:
        packer: The pickler.
        limits: The limits of the run.
        stored: Results of an earlier client of this run.
        enqueue: Queues the tasks of each `Batch`. It completes no future.
    """

    def __init__(
        self,
        packer: Packer,
        limits: Limits,
        stored: Stored | None,
        enqueue: Callable[[Batch], None],
    ) -> None:
        self._packer = packer
        self._max_bytes = limits.room
        self._stored = stored
        self._enqueue = enqueue
        # Held while objects of the user are pickled, and taken before the other one. Pickling may
        # wait for a task of this run, which the run's thread must be able to queue meanwhile.
        self._packing = threading.RLock()
        self._packs: int | None = None  # the thread in `_pickling`
        self._lock = threading.RLock()
        self._known: deque[Batch] = deque()  # with outcomes that were not delivered yet
        self._next_index = 0
        self._singles: list[Single] = []
        self._single_futures: list[Future[Any]] = []

    @property
    def has_singles(self) -> bool:
        """True if single calls wait to be queued, or known outcomes to be delivered."""
        return bool(self._singles or self._known)

    def forget_buffers(self) -> None:
        """See `Packer.forget_buffers`."""
        with self._packing:
            self._packer.forget_buffers()

    def submit_one(self, call: Call) -> Future[Any]:
        """Submit one call. An error that prevents sending is the future's exception."""
        future: Future[Any] = TaskFuture()
        with self._packing:
            single = self._pack(call)
            with self._lock:
                self._singles.append(single)
                self._single_futures.append(future)
        return future

    def submit_several(self, calls: Iterable[Call]) -> list[Future[Any]]:
        """Submit calls that are queued together."""
        # Before the lock: the iterable may itself submit, or wait for a thread that does.
        calls = list(calls)
        with self._pickling():
            self.drain()
            singles = [self._pack(call) for call in calls]
            futures: list[Future[Any]] = [TaskFuture() for _ in calls]
            with self._lock:
                self._singles += singles
                self._single_futures += futures
            self.drain()
        return futures

    def _pack(self, call: Call) -> Single:
        index = self._next_index
        self._next_index += 1  # first: pickling may itself submit
        return self._packer.pack_single(*call, index)

    def drain(self) -> None:
        """Queue the single calls that were submitted."""
        try:
            with self._lock:
                futures, self._single_futures = self._single_futures, []
                singles, self._singles = self._singles, []
                at = 0
                for packed in joined_singles(singles):
                    count = len(packed) if isinstance(packed, Chunk) else 1
                    self._take(packed, FutureReceiver(futures[at : at + count]))
                    at += count
        finally:
            self._settle_known()

    def submit_stream(
        self,
        function: Callable[..., Any],
        calls: Iterable[Any],
        receiver: Callable[[int], Receiver],
        *,
        keywords: bool = False,
    ) -> None:
        """Queue the calls of one function, as chunks.

        Args:
            function: What is called.
            calls: The arguments of each call as a tuple, or ``(args, kwargs)`` with ``keywords``.
            receiver: Returns who gets the outcomes of the next so many tasks.
            keywords: True if calls have keyword arguments.
        """
        # Before the lock: the iterable may itself submit, or wait for a thread that does.
        calls = list(calls)
        with self._pickling():
            self.drain()
            for packed in self._packer.pack(function, calls, self._next_index, keywords=keywords):
                count = len(packed) if isinstance(packed, Chunk) else 1
                self._next_index += count
                with self._lock:
                    self._take(packed, receiver(count))

    @contextmanager
    def _pickling(self) -> Iterator[None]:
        """Hold the lock for pickling. Known outcomes are delivered after its release."""
        try:
            with self._packing:
                before, self._packs = self._packs, threading.get_ident()
                try:
                    yield
                finally:
                    self._packs = before
        finally:
            self._settle_known()

    def _settle_known(self) -> None:
        """Deliver known outcomes, unless this thread pickles: callbacks may wait for that."""
        if self._packs == threading.get_ident():
            return
        while self._known:
            try:
                batch = self._known.popleft()
            except IndexError:  # another thread has taken it
                return
            batch.settle()

    def _take(self, packed: Chunk | Refused, receiver: Receiver) -> None:
        batch = Batch(receiver)
        if isinstance(packed, Chunk):
            self._sort(packed, batch)
        else:
            batch.refused.append((0, packed.error))
        self._enqueue(batch)
        if batch.restored or batch.refused:
            self._known.append(batch)

    def _sort(self, chunk: Chunk, batch: Batch) -> None:
        """Separate tasks that must be sent from those that need not, or cannot."""
        start = 0
        if self._stored or self._may_be_too_large(chunk):
            for position in range(len(chunk)):
                restored = None
                if self._stored:
                    identity, index = chunk.identities[position], chunk.first + position
                    restored = self._stored.take(identity, index)
                error = None if restored else self._too_large(chunk, position)
                if not (restored or error):
                    continue
                self._add_span(chunk, start, position, batch)
                start = position + 1
                if restored:
                    batch.restored.append((position, restored))
                elif error:
                    batch.refused.append((position, error))
        self._add_span(chunk, start, len(chunk), batch)

    def _add_span(self, chunk: Chunk, start: int, stop: int, batch: Batch) -> None:
        if start < stop:
            batch.spans.append(TaskSpan(ChunkPart(chunk, start, stop), batch.receiver))

    def _may_be_too_large(self, chunk: Chunk) -> bool:
        if self._max_bytes is None:
            return False
        blobs = sum(len(blob.data) for blob in chunk.blobs.values())
        return len(chunk.payload) + blobs >= self._max_bytes

    def _too_large(self, chunk: Chunk, position: int) -> TooLargeError | None:
        if self._max_bytes is None:
            return None
        part = ChunkPart(chunk, position, position + 1)
        nbytes = part.nbytes + sum(len(chunk.blobs[one].data) for one in part.digests)
        if nbytes < self._max_bytes:
            return None
        return TooLargeError(
            f"the arguments of task {part.first} take {nbytes >> 20:,} MB, but a worker has "
            f"{self._max_bytes >> 20:,} MB of memory",
            hint="Pass a part of them, or a path that tasks can read. Or deploy the stack with "
            "more "
            "memory.",
        )
