"""From calls to tasks that can be sent. On entry: functions with their arguments; on leaving: futures, and what each waits for."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

from dolambda.dispatch.flight import Waiting
from dolambda.dispatch.futures import TaskFuture
from dolambda.errors import NotPicklableError, TooLargeError
from dolambda.wire.task import PackedTask, Packer, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from dolambda.dispatch.limits import Limits
    from dolambda.dispatch.stored import Stored
    from dolambda.wire.outcome import PackedOutcome

Call = tuple["Callable[..., Any]", "tuple[Any, ...]", "dict[str, Any]"]
Taken = tuple["Future[Any]", "Waiting | PackedOutcome | None"]
"""A task's future, and what it waits for: to be sent, or for an outcome that it has had; or, being refused, for nothing."""

_AT_ONCE = 256  # calls of a large submission: the first are on their way while the last are pickled


class Intake:
    """Numbers and pickles the calls of one run, in the order of submission. For any thread."""

    def __init__(self, packer: Packer, limits: Limits, stored: Stored | None) -> None:
        """``stored`` is what an earlier client has left of this run."""
        self._packer = packer
        self._room = limits.room
        self._stored = stored
        self._lock = threading.Lock()
        self._indexes = itertools.count()

    def take(
        self, calls: Iterable[Call], enqueue: Callable[[list[Taken]], None]
    ) -> list[Future[Any]]:
        """Have calls queued, some at a time; give their futures. What cannot be pickled, or is too large, is an exception of its future."""
        calls = list(
            calls
        )  # before the lock: the caller's iterable may itself submit, or wait for what does
        futures: list[Future[Any]] = []
        with self._lock:
            packed = self._packer.pack(self._numbered(calls))
            while taken := [self._taken(one) for one in itertools.islice(packed, _AT_ONCE)]:
                enqueue(taken)
                futures += [future for future, _ in taken]
        return futures

    def forget_buffers(self) -> None:
        """See `Packer.forget_buffers`."""
        with self._lock:
            self._packer.forget_buffers()

    def _numbered(self, calls: Iterable[Call]) -> Iterator[Task]:
        for function, args, kwargs in calls:
            yield Task(next(self._indexes), function, args, kwargs)

    def _taken(self, packed: PackedTask | NotPicklableError) -> Taken:
        future: Future[Any] = TaskFuture()
        error = packed if isinstance(packed, NotPicklableError) else self._too_large(packed)
        if isinstance(packed, PackedTask) and not error:
            stored = self._stored.take(packed.identity, packed.index) if self._stored else None
            return future, stored or Waiting(packed, future)
        future.set_exception(error)
        return future, None

    def _too_large(self, task: PackedTask) -> TooLargeError | None:
        nbytes = task.nbytes + sum(len(blob.data) for blob in task.blobs)
        if self._room is None or nbytes < self._room:
            return None
        return TooLargeError(
            f"the arguments of task {task.index} are of {nbytes >> 20:,} MB, a worker has {self._room >> 20:,} MB of memory",
            hint="Pass a part of them, or a path to read from there; or deploy the stack with more memory.",
        )
