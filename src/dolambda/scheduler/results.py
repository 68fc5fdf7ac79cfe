"""Receivers of the outcomes of chunks: futures, one for each task, or a stream of pieces.

**Input:** values and errors by position in a chunk. **Output:** completed futures, or pieces in
order.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from dolambda.scheduler.futures import TaskFuture, cancel, complete
from dolambda.scheduler.futures import start as start_future
from dolambda.wire.outcome import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from concurrent.futures import Future


class FutureReceiver:
    """Receiver that completes one future for each task of a chunk."""

    calls_users = True
    __slots__ = ("_futures",)

    def __init__(self, futures: list[Future[Any]]) -> None:
        """Create a receiver.

        ``futures`` has one for each task, in order. Each is dropped when completed.
        """
        self._futures: list[Future[Any] | None] = list(futures)

    def claim(self, start: int, stop: int) -> list[tuple[int, int]]:
        """See `Receiver`."""
        wanted: list[tuple[int, int]] = []
        for position in range(start, stop):
            future = self._futures[position]
            if future is None or not start_future(future):
                self._futures[position] = None
                continue
            if wanted and wanted[-1][1] == position:
                wanted[-1] = (wanted[-1][0], position + 1)
            else:
                wanted.append((position, position + 1))
        return wanted

    def withdraw(self, start: int, stop: int) -> None:
        """See `Receiver`."""
        for future in self._take(start, stop):
            cancel(future)

    def deliver(self, start: int, values: Sequence[Any]) -> None:
        """See `Receiver`. No reference to a value outlives its delivery."""
        left = values if isinstance(values, list) else list(values)
        left.reverse()
        for future in self._take(start, start + len(left)):
            complete(future, Value(left.pop()))

    def fail(self, start: int, stop: int, error: BaseException) -> None:
        """See `Receiver`."""
        for future in self._take(start, stop):
            complete(future, error)

    def _take(self, start: int, stop: int) -> Iterator[Future[Any]]:
        for position in range(start, stop):
            future, self._futures[position] = self._futures[position], None
            if future is not None:
                yield future


def _at_once(call: Callable[[], None]) -> None:
    call()


class Pieces:
    """The outcomes of one `map`, as pieces of consecutive tasks. Thread-safe.

    Args:
        in_order: True if pieces are taken in the order of the tasks, False for the order of
            arrival.
        after_replies: The run's `Transport.after_replies`. The thread that takes is woken by it.
    """

    def __init__(
        self,
        *,
        in_order: bool,
        after_replies: Callable[[Callable[[], None]], None] = _at_once,
    ) -> None:
        self._after_replies = after_replies
        self._waiting = 0  # threads that wait for a piece
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._in_order = in_order
        self._pieces: dict[int, tuple[int, Any, BaseException | None]] = {}
        self._arrived: deque[int] = deque()
        self._next = 0
        self._taken = 0
        self._arrived_tasks = 0
        self.added = 0
        self.cancelled = False

    def receiver(self, count: int) -> ChunkReceiver:
        """Return the receiver of the next ``count`` tasks."""
        with self._lock:
            receiver = ChunkReceiver(self, self.added)
            self.added += count
        return receiver

    @property
    def left(self) -> int:
        """Number of tasks whose outcomes have not been taken."""
        return self.added - self._taken

    @property
    def arrived(self) -> int:
        """Number of tasks whose outcomes have arrived, but have not been taken."""
        return self._arrived_tasks

    def put(self, start: int, count: int, values: Any, error: BaseException | None) -> None:
        """Add the outcome of consecutive tasks."""
        with self._lock:
            if self.cancelled:
                return
            self._pieces[start] = (count, values, error)
            self._arrived_tasks += count
            if not self._in_order:
                self._arrived.append(start)
            wakes = self._waiting and (not self._in_order or start == self._next)
        if wakes:
            self._after_replies(self._wake)

    def take(self, deadline: float | None) -> tuple[int, int, Any, BaseException | None]:
        """Wait for the next piece.

        Returns:
            Number of its first task, number of tasks, their values, and their error.

        Raises:
            TimeoutError: None arrived until ``deadline`` on the monotonic clock.
        """
        with self._lock:
            if not self._is_ready():
                self._wait(deadline)
            start = self._next if self._in_order else self._arrived.popleft()
            count, values, error = self._pieces.pop(start)
            self._next = start + count
            self._taken += count
            self._arrived_tasks -= count
        return start, count, values, error

    def _wait(self, deadline: float | None) -> None:
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        self._waiting += 1
        try:
            if not self._changed.wait_for(self._is_ready, timeout):
                raise TimeoutError
        finally:
            self._waiting -= 1

    def _wake(self) -> None:
        with self._lock:
            self._changed.notify_all()

    def cancel(self) -> None:
        """Drop all pieces that still arrive."""
        with self._lock:
            self.cancelled = True
            self._pieces.clear()
            self._arrived.clear()
            self._arrived_tasks = 0

    def _is_ready(self) -> bool:
        return self._next in self._pieces if self._in_order else bool(self._arrived)


class ChunkReceiver:
    """Receiver that passes the outcomes of one chunk to `Pieces`."""

    calls_users = False
    __slots__ = ("_first", "_pieces")

    def __init__(self, pieces: Pieces, first: int) -> None:
        """Create a receiver. ``first`` is the number of the chunk's first task in the `map`."""
        self._pieces = pieces
        self._first = first

    def claim(self, start: int, stop: int) -> list[tuple[int, int]]:
        """See `Receiver`."""
        return [] if self._pieces.cancelled else [(start, stop)]

    def withdraw(self, start: int, stop: int) -> None:
        """See `Receiver`."""
        self.fail(start, stop, CancelledError())

    def deliver(self, start: int, values: Sequence[Any]) -> None:
        """See `Receiver`."""
        self._pieces.put(self._first + start, len(values), values, None)

    def fail(self, start: int, stop: int, error: BaseException) -> None:
        """See `Receiver`."""
        for position in range(start, stop):
            self._pieces.put(self._first + position, 1, None, error)


class BatchFuture(TaskFuture[list[Any]]):
    """The list of the values of several chunks, or the first error. For joblib's batches."""

    def __init__(self, count: int) -> None:
        """Create a future for ``count`` tasks."""
        super().__init__()
        self._values: list[Any] = [None] * count
        self._left = count
        self._given_out = 0
        self._values_lock = threading.Lock()
        self._filling: int | None = None

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Complete it in another thread if that happens while this thread submits its tasks."""
        self._filling = threading.get_ident()
        try:
            yield
        finally:
            self._filling = None

    def receiver(self, count: int) -> BatchReceiver:
        """Return the receiver of the next ``count`` tasks."""
        first, self._given_out = self._given_out, self._given_out + count
        return BatchReceiver(self, first)

    def put(self, start: int, values: Sequence[Any]) -> None:
        """Accept the values of consecutive tasks."""
        with self._values_lock:
            self._values[start : start + len(values)] = values
            self._left -= len(values)
            if self._left:
                return
            values, self._values = self._values, []
        self._complete(Value(values))

    def put_error(self, error: BaseException) -> None:
        """Accept the error of a task. The first one counts."""
        self._complete(error)

    def _complete(self, outcome: Value | BaseException) -> None:
        if self._filling != threading.get_ident():
            complete(self, outcome)
            return
        call = partial(complete, self, outcome)
        try:
            threading.Thread(target=call, name="dolambda-batch", daemon=True).start()
        except RuntimeError:  # no thread can be started: joblib would hang
            call()


class BatchReceiver:
    """Receiver that passes the outcomes of one chunk to a `BatchFuture`."""

    calls_users = True
    __slots__ = ("_batch", "_first")

    def __init__(self, batch: BatchFuture, first: int) -> None:
        """Create a receiver. ``first`` is the position of the chunk's first task in the batch."""
        self._batch = batch
        self._first = first

    def claim(self, start: int, stop: int) -> list[tuple[int, int]]:
        """See `Receiver`."""
        return [(start, stop)]

    def withdraw(self, _start: int, _stop: int) -> None:
        """See `Receiver`."""
        self._batch.put_error(CancelledError())

    def deliver(self, start: int, values: Sequence[Any]) -> None:
        """See `Receiver`."""
        self._batch.put(self._first + start, values)

    def fail(self, _start: int, _stop: int, error: BaseException) -> None:
        """See `Receiver`."""
        self._batch.put_error(error)


def values_of(
    pieces: Pieces,
    more: Callable[[], None] | None,
    deadline: float | None,
    *,
    return_exceptions: bool,
) -> Generator[Any, None, None]:
    """Yield the values of a `map` one by one. No reference to a value is kept.

    Args:
        pieces: The source of values.
        more: Called after each value. It may submit more.
        deadline: When waiting ends, on the monotonic clock.
        return_exceptions: True to yield a failed task's exception in the place of its value.
    """
    try:
        while pieces.left:
            _, _, values, error = pieces.take(deadline)
            if error is not None:
                if not (return_exceptions and isinstance(error, Exception)):
                    raise error
                values = [error]
                error = None
            values.reverse()
            while values:
                yield values.pop()
                if more:
                    more()
    finally:
        pieces.cancel()
