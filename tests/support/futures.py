"""A transport's answers as futures, which tests can wait for."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dolambda.transport.base import SealedJob, Transport


def settle(future: Future[bytes], answer: bytes | BaseException) -> None:
    """Complete a future with the first of a transport's answers."""
    if isinstance(answer, CancelledError):
        future.cancel()
    elif not future.done() and future.set_running_or_notify_cancel():
        if isinstance(answer, bytes):
            future.set_result(answer)
        else:
            future.set_exception(answer)


def asked(transport: Transport, job: SealedJob) -> Future[bytes]:
    """Send a job."""
    future: Future[bytes] = Future()
    transport.send(job, lambda answer: settle(future, answer))
    return future
