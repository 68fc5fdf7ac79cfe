"""Futures, which are completed whatever their users do with them.

**Input:** futures that users hold, and may have completed or cancelled themselves, with callbacks
that may raise anything. **Output:** each is completed once, and none prevents another from being
completed.
"""

from __future__ import annotations

import logging
from concurrent.futures import CancelledError, Future, InvalidStateError
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dolambda.wire.outcome import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = logging.getLogger("dolambda")

T = TypeVar("T")
Item = TypeVar("Item")


class TaskFuture(Future[T]):
    """The future of a task.

    A callback that raises SystemExit or KeyboardInterrupt stops no other.
    """

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """See `concurrent.futures.Future`.

        On a done future, ``fn`` is called at once and may raise.
        """
        super().add_done_callback(fn if self.done() else partial(_call, fn))


def _call(callback: Callable[[Future[T]], object], future: Future[T]) -> None:
    try:
        callback(future)
    except Exception:
        raise  # concurrent.futures logs it, and calls the next one
    except BaseException:  # it would end a thread that completes other users' futures
        log.exception("the callback %r of a future raised; it stops nothing else", callback)


def start(future: Future[Any]) -> bool:
    """Mark a future as running. Return whether its task must run.

    It need not run if the future was cancelled, or completed by its user.
    """
    if future.running():
        return True
    if future.done() and not future.cancelled():
        return False
    try:
        return future.set_running_or_notify_cancel()
    except RuntimeError:  # waiting threads already know that it is cancelled
        return False


def complete(future: Future[Any], result: Value | BaseException) -> None:
    """Complete a future. One that its user has completed or cancelled is left alone."""
    try:
        if isinstance(result, Value):
            future.set_result(result.value)
        elif start(future):
            future.set_exception(result)
    except InvalidStateError:
        log.debug("a future was completed by its user")


def cancel(future: Future[Any], error: CancelledError | None = None) -> None:
    """Cancel a future. A running one raises ``error``, if there is one."""
    if future.cancel():
        start(future)  # waiting threads are notified
    elif error:
        complete(future, error)


def for_all(items: Iterable[Item], finish: Callable[[Item], None]) -> None:
    """Finish every item, even if Ctrl-C interrupts. It is raised at the end."""
    interrupted: BaseException | None = None
    for item in items:
        try:
            finish(item)
        except BaseException as error:  # noqa: BLE001 - raised when all others are finished
            interrupted = error
            finish(item)
    if interrupted:
        raise interrupted
