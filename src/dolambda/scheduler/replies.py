"""From the bytes of a reply to the event that the scheduler handles.

sealed bytes -- signature, run, number, identities checked --> Reply --> ReplyReceived
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from dolambda.errors import EnvelopeError, SignatureError
from dolambda.scheduler import events as ev
from dolambda.transport.base import Unanswered
from dolambda.wire.outcome import CANCELLED, NOT_STARTED, REFUSED, Failure, Lost, Value
from dolambda.wire.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.scheduler.hooks import RunHooks
    from dolambda.scheduler.jobs import InFlightJob, TaskSpan
    from dolambda.wire.outcome import PackedOutcome

log = logging.getLogger("dolambda")

_NO_OUTCOME = Lost(NOT_STARTED, "the reply contained no outcome for this task")
_TOGETHER = 16  # replies that are handled together at most
_BLAMELESS = (NOT_STARTED, CANCELLED)


class ReplyReader:
    """Reader of the replies to one run's jobs.

    Args:
        run: Name of the run.
        key: Key that signs its replies.
        hooks: Functions of the run's caller, which show the output of tasks and record replies.
        named: True if tasks have identities: two clients may use one run's name.
    """

    def __init__(
        self,
        run: str,
        key: bytes,
        hooks: RunHooks,
        *,
        named: bool,
    ) -> None:
        self._run = run
        self._key = key
        self._named = named
        self._relay = hooks.relay
        self._record = hooks.record
        self._live = hooks.live

    def read(self, job: InFlightJob, data: bytes) -> ev.ReplyReceived:
        """Read and record the reply to a job. Return the event for the scheduler."""
        try:
            reply = self._opened(data, job.number)
        except EnvelopeError as refused:
            log.warning("refused %s", refused)
            return _refused_reply(job, refused)
        outcomes = list(self._outcomes(job, reply))
        if self._live:
            self._live.job_replied(job.number)
        missing = [isinstance(outcome, ev.Missing) for outcome in outcomes]
        seconds = reply.outcomes.seconds
        if any(missing):
            # Any sequence of numbers.
            seconds = [one.seconds for one in reply.outcomes if one.kind != "lost"]  # type: ignore[assignment]
        if self._record:
            self._record(reply)
        return ev.ReplyReceived(job.number, outcomes, all(missing), seconds, reply.usage)

    def _opened(self, sealed: bytes, number: int) -> Reply:
        reply = Reply.from_bytes(sealed, self._key)
        if (reply.run, reply.number) != (self._run, number):
            raise EnvelopeError(
                f"the reply to job {reply.number} of run {reply.run} in the place of the one to "
                f"job {number} of run {self._run}",
                hint="A signed reply was copied. It was not unpickled.",
            )
        return reply

    def _outcomes(self, job: InFlightJob, reply: Reply) -> Iterator[ev.Outcome]:
        """Yield the outcomes of a job's tasks: values together, everything else one by one."""
        table = reply.outcomes
        refusal = reply.refusal
        if refusal and refusal.reason not in _BLAMELESS:
            for span in job.spans:
                yield ev.Raised(span, refusal.to_error())
            return
        if refusal or len(table) != len(job) or not self._is_of(job, reply):
            for span in job.spans:
                yield ev.Missing(span, refusal or _NO_OUTCOME)
            return
        at = 0
        for span in job.spans:
            values = table.values(at, at + len(span))
            if values is not None:
                yield ev.Values(span, values)
            else:
                for offset in range(len(span)):
                    single, packed = span.single(offset), table.outcome(at + offset)
                    self._show_output(job.number, single.part.first, packed)
                    yield self._outcome(single, packed)
            at += len(span)

    def _is_of(self, job: InFlightJob, reply: Reply) -> bool:
        """Return whether the reply is to these tasks: two clients may use one run's name."""
        if not self._named:
            return True
        expected = [one for span in job.spans for one in span.part.identities]
        return list(reply.outcomes.identities) == expected

    def _outcome(self, span: TaskSpan, packed: PackedOutcome) -> ev.Outcome:
        outcome = packed.open()
        if isinstance(outcome, Value):
            return ev.Values(span, [outcome.value])
        if isinstance(outcome, Failure):
            return ev.Raised(span, outcome.exception)
        if outcome.reason in _BLAMELESS:
            return ev.Missing(span, outcome)
        return ev.Raised(span, outcome.to_error())

    def _show_output(self, job: int, index: int, packed: PackedOutcome) -> None:
        if packed.output and self._relay:
            try:
                output = packed.output
                if self._live:
                    output = self._live.rest(job, index, output)
                if output:
                    self._relay(index, output, packed.kind != "value")
            except BaseException:
                log.debug("the output of task %s could not be shown", index, exc_info=True)


class ReplyHandler:
    """Takes what a transport brings for a run's jobs.

    Replies that arrive together are handled as events of one moment, unless they run code of users,
    which may wait for another of them.

    Args:
        reader: Reads replies.
        find_job: Returns the job of a number, None if it is no longer in flight.
        apply: Has the scheduler handle events.
        after_replies: See `Transport.after_replies`.
    """

    def __init__(
        self,
        reader: ReplyReader,
        find_job: Callable[[int], InFlightJob | None],
        apply: Callable[..., None],
        after_replies: Callable[[Callable[[], None]], None],
    ) -> None:
        self._reader = reader
        self._find_job = find_job
        self._apply = apply
        self._after_replies = after_replies
        self._lock = threading.Lock()
        self._received: dict[int, ev.ReplyReceived] = {}  # by number of the job

    def take(self, number: int, attempt: int, reply: bytes | BaseException) -> None:
        """Take the reply to a job, or why there is none. Called in a thread of the transport."""
        try:
            if isinstance(reply, BaseException):
                self._on_no_reply(number, attempt, reply)
            else:
                self._on_reply(number, reply)
        except BaseException as error:
            log.exception("the reply to job %s could not be handled", number)
            self._apply(ev.JobFailed(number, error))

    def _on_no_reply(self, number: int, attempt: int, error: BaseException) -> None:
        if isinstance(error, Unanswered):
            self._apply(ev.AttemptLost(number, attempt, error.lost))
            return
        if isinstance(error, CancelledError):
            error = CancelledError("the transport was closed under the run")
        self._apply(ev.JobFailed(number, error))

    def _on_reply(self, number: int, data: bytes) -> None:
        job = self._find_job(number)
        if job is None or number in self._received:  # settled by another reply, or given up
            return
        received = self._reader.read(job, data)
        if any(span.receiver.calls_users for span in job.spans):
            self._apply(received)
            return
        with self._lock:
            self._received[number] = received
            full = len(self._received) >= _TOGETHER
        del received  # no reference to a value may outlive its delivery
        if full:
            self._apply_received()
        else:
            self._after_replies(self._apply_received)

    def _apply_received(self) -> None:
        with self._lock:
            received, self._received = self._received, {}
        numbers, events = list(received), list(received.values())
        del received
        try:
            if events:
                self._apply(*events)
        except BaseException as error:
            log.exception("the replies to jobs %s could not be handled", numbers)
            for number in numbers:
                self._apply(ev.JobFailed(number, error))


def _refused_reply(job: InFlightJob, refused: EnvelopeError) -> ev.ReplyReceived:
    """Return the event for a reply that was refused."""
    # A wrong signature again and again: the worker has replaced the key.
    reason = REFUSED if isinstance(refused, SignatureError) else NOT_STARTED
    said, _, hint = str(refused).partition("\n  ")
    outcomes = []
    for span in job.spans:
        lost = Lost(reason, f"task {span.part.first} is lost: its reply was refused: {said}", hint)
        outcomes.append(ev.Missing(span, lost))
    return ev.ReplyReceived(job.number, outcomes, fruitless=True, seconds=(), usage=None)
