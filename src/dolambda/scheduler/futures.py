"""Futures, completed whatever their users do with them.

Input: futures that users hold, and may have completed or cancelled themselves, with callbacks that
may raise anything. Output: each is completed once, and none keeps another from being completed.
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

        On a done future it is called here, and may raise here.
        """
        super().add_done_callback(fn if self.done() else partial(_call, fn))


def _call(callback: Callable[[Future[T]], object], future: Future[T]) -> None:
    try:
        callback(future)
    except Exception:
        raise  # concurrent.futures logs it, and calls the next
    except BaseException:  # it would end a thread that completes other users' futures
        log.exception("the callback %r of a future raised; it stops nothing else", callback)


def start(future: Future[Any]) -> bool:
    """Mark a future as running, and return whether its task is to be run.

    It is not if the future was cancelled, or its user has completed it.
    """
    if future.running():
        return True
    if future.done() and not future.cancelled():
        return False
    try:
        return future.set_running_or_notify_cancel()
    except RuntimeError:  # those who wait for it know already that it is cancelled
        return False


def complete(future: Future[Any], result: Value | BaseException) -> None:
    """Complete a future; leave one alone that its user has completed or cancelled."""
    try:
        if isinstance(result, Value):
            future.set_result(result.value)
        elif start(future):
            future.set_exception(result)
    except InvalidStateError:
        log.debug("a future was completed by its user")


def cancel(future: Future[Any], error: CancelledError | None = None) -> None:
    """Cancel a future; one that is running raises ``error``, if there is one."""
    if future.cancel():
        start(future)  # those who wait for it hear of it
    elif error:
        complete(future, error)


def for_all(items: Iterable[Item], finish: Callable[[Item], None]) -> None:
    """Finish every item, though Ctrl-C may come meanwhile; it is raised at the end."""
    interrupted: BaseException | None = None
    for item in items:
        try:
            finish(item)
        except BaseException as error:  # noqa: BLE001 - raised once all the others have heard
            interrupted = error
            finish(item)
    if interrupted:
        raise interrupted
