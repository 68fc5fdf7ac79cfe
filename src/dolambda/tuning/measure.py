"""One memory size measured: a temporary function, and jobs sent to it one after the other.

**Input:** jobs of one task each, and a size. **Output:** their replies, or the reason for their
lack.
"""

from __future__ import annotations

import logging
import queue
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dolambda.aws.account import translated
from dolambda.aws.objects import Bucket
from dolambda.errors import AwsError, DolambdaError
from dolambda.money.prices import PRICES
from dolambda.transport.base import SealedJob, Unanswered
from dolambda.transport.clean_up import CleanUp
from dolambda.transport.factory import TransportFactory
from dolambda.wire import keys
from dolambda.wire.job import Job, Place
from dolambda.wire.outcome_table import LOST
from dolambda.wire.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolambda.aws.account import Account
    from dolambda.stack import Stack
    from dolambda.transport.base import Transport

log = logging.getLogger("dolambda")

_GRACE_S = 120.0
_MAX_WAIT_S = 21_600.0
_KIND = 0x0F


@dataclass(frozen=True)
class Target:
    """The stack that is tuned.

    Attributes:
        account: Credentials that may create functions, and call them.
        stack: The stack.
        emulated: True on emulated AWS.
        cpu_limited: True if emulated workers have CPU in proportion to memory.
    """

    account: Account
    stack: Stack
    emulated: bool = False
    cpu_limited: bool = False

    @property
    def scales(self) -> bool:
        """True if a worker's CPU depends on its memory."""
        return self.cpu_limited or not self.emulated

    def dollars(self, memory: int, seconds: float) -> float:
        """Return the price of an invocation."""
        prices = PRICES[self.stack.architecture]
        return memory / 1024 * seconds * prices.gb_second + prices.invocation


class NoReplyError(DolambdaError):
    """A job of one size ended without a reply; the message is the reason."""


class SizedFunction:
    """One temporary function, called one job at a time.

    Args:
        target: The stack.
        name: Name of the function.
        timeout: Its time limit, in seconds.
        wait: Waits for a reply: gets a queue and seconds. Raises CancelledError at the end.
    """

    def __init__(
        self,
        target: Target,
        name: str,
        timeout: float,
        wait: Callable[[queue.SimpleQueue[bytes | BaseException], float], bytes | BaseException],
    ) -> None:
        stack = replace(target.stack, name=name)
        with translated():
            bucket = Bucket.from_account(target.account, stack.bucket)
        self._place = Place(name, stack.region)
        self._key = stack.key
        self._timeout = timeout
        self._wait = wait
        self._factory = TransportFactory(
            target.account, stack, bucket, keys.new_client_id(), 1.0, clean_up=CleanUp()
        )
        self._way: Transport = self._factory.of("direct")
        self._sent: list[tuple[str, int]] = []

    def answer(self, sent: SealedJob, number: int) -> bytes:
        """Send a job under a number and return the reply. Raises `NoReplyError` and `AwsError`."""
        job = replace(
            Job.from_bytes(sent.data, self._key),
            number=number,
            place=self._place,
            deadline=time.time() + _MAX_WAIT_S,
        )
        answers: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
        self._sent.append((job.run, number))
        self._way.send(SealedJob(job.run, number, job.to_bytes(self._key), sent.blobs), answers.put)
        answer = self._wait(answers, self._timeout + _GRACE_S)
        if isinstance(answer, Unanswered):
            raise NoReplyError(answer.lost.detail, hint=answer.lost.hint) from answer
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def reply(self, sent: SealedJob, number: int) -> Reply:
        """Send a job and return the opened reply. Raises `NoReplyError` for one without outcome."""
        reply = Reply.from_bytes(self.answer(sent, number), self._key)
        if reply.refusal:
            raise NoReplyError(reply.refusal.detail, hint=reply.refusal.hint)
        return reply

    def close(self) -> None:
        """End its connections, and remove large replies from the bucket."""
        try:
            for run, number in self._sent:
                self._way.withdraw(run, [number])
        except DolambdaError as error:
            log.debug("large replies were not removed, they expire by themselves: %s", error)
        self._factory.close()


def lost_reason(replies: Sequence[Reply]) -> str:
    """Return why a task of these replies was lost, "" if none was."""
    for reply in replies:
        for position, kind in enumerate(reply.outcomes.kinds):
            if kind & _KIND == LOST:
                return str(reply.outcomes.outcome(position).note.get("detail", "lost"))
    return ""


class Waiter:
    """Waits for replies, until it is stopped. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: set[queue.SimpleQueue[bytes | BaseException]] = set()
        self.stopped = False

    def wait(
        self, answers: queue.SimpleQueue[bytes | BaseException], seconds: float
    ) -> bytes | BaseException:
        """Return the first reply."""
        self._waiting.add(answers)
        try:
            if self.stopped:
                raise CancelledError
            return answers.get(timeout=seconds)
        except queue.Empty:
            raise AwsError(
                f"a temporary function did not reply within {seconds:,.0f} s",
                hint="Check the network.",
            ) from None
        finally:
            self._waiting.discard(answers)

    def stop(self) -> None:
        """End all waiting."""
        self.stopped = True
        for answers in list(self._waiting):
            answers.put(CancelledError())
