"""The driver of one run's scheduler: it has the clock, the threads, the lock and the requests.

    submit, map      pickled at once in the caller's thread (`Submission`), then queued
    _apply           hands an event to the scheduler, under the lock, and performs what comes out
    run's thread     ticks: sends what waits, what is overdue and what is slow; removes objects
    transport        calls `_on_reply` in its own threads; who settles a job sends the next one

Futures are completed outside every lock.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dolambda.errors import (
    ConfigurationError,
    DolambdaError,
    EnvelopeError,
    QuotedError,
    SignatureError,
)
from dolambda.scheduler import events as ev
from dolambda.scheduler.jobs import InFlightJob, JobBuilder, JobState, TaskSpan
from dolambda.scheduler.state import Scheduler
from dolambda.scheduler.submission import Submission
from dolambda.transport.base import SealedJob, Unanswered
from dolambda.transport.clean_up import CleanUp, left
from dolambda.wire.job import Place
from dolambda.wire.outcome import CANCELLED, NOT_STARTED, REFUSED, Failure, Lost, Value
from dolambda.wire.packer import Packer
from dolambda.wire.reply import Reply
from dolambda.wire.task import TaskContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from dolambda.scheduler.batching import Batcher
    from dolambda.scheduler.jobs import Receiver
    from dolambda.scheduler.limits import Limits
    from dolambda.scheduler.pilot import Estimate
    from dolambda.scheduler.report import Report
    from dolambda.scheduler.stored import Stored
    from dolambda.scheduler.submission import Batch, Call
    from dolambda.transport.base import Transport
    from dolambda.wire.blob import Blob
    from dolambda.wire.outcome import PackedOutcome

log = logging.getLogger("dolambda")

_NO_OUTCOME = Lost(NOT_STARTED, "the reply contained no outcome for this task")
_BLAMELESS = (NOT_STARTED, CANCELLED)
_LOOK_S = 0.5  # between two looks whether there is still something to wait for


class Run:
    """Everything that one `Parallel` call, one executor or one foreach sends. For any thread.

    Args:
        name: Name of the run.
        transport: Takes jobs and brings replies.
        key: Signs both.
        limits: What the run keeps to.
        same_buffers: See `Packer`.
        same_functions: See `Packer`.
        context: What tasks find around them.
        place: Where jobs may run.
        code: Returns the archive of the user's own modules.
        relay: Gets a task's index, what it printed, and whether it failed.
        progress: Gets reports.
        stored: What an earlier client has left of this run.
        salt: See `Packer`.
        confirm: Is asked after a pilot whether to go on.
        record: Gets each opened reply, outside the lock.
        on_end: Is called once, when the run has ended, however it did.
        clean_up: Bounds how long `cancel` waits.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        key: bytes,
        limits: Limits,
        *,
        same_buffers: bool = False,
        same_functions: bool = False,
        context: TaskContext | None = None,
        place: Place | None = None,
        code: Callable[[], Blob | None] = lambda: None,
        relay: Callable[[int, str, bool], None] | None = None,
        progress: Callable[[Report], None] | None = None,
        stored: Stored | None = None,
        salt: Callable[[], bytes] | None = None,
        confirm: Callable[[Estimate], bool] | None = None,
        record: Callable[[Reply], None] | None = None,
        on_end: Callable[[Run], None] | None = None,
        clean_up: CleanUp | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.limits = limits
        self._transport = transport
        self._key = key
        self._code = code
        self._relay = relay
        self._progress = progress
        self._confirm = confirm
        self._record = record
        self._on_end = on_end
        self._clean_up = clean_up or CleanUp()
        self._clock = clock
        packer = Packer(same_buffers=same_buffers, same_functions=same_functions, salt=salt)
        self._named = salt is not None
        self._submission = Submission(packer, limits, stored, self._enqueue, self._settle)
        self._builder = JobBuilder(
            name,
            limits,
            context or TaskContext(),
            place=place or Place(),
            same_buffers=same_buffers,
        )
        first = stored.first if stored else 0
        self._scheduler = Scheduler(
            limits, self._builder, first_job=first, pilot=confirm is not None
        )
        self._changed = threading.Condition()  # and the lock of the scheduler
        # For the run's thread: requests that block, and what is found where nothing may block.
        self._chores: deque[ev.Action | ev.JobFailed | ev.Broken] = deque()
        self._settling: list[int] = []  # threads that complete futures
        self._begun = 0.0
        self._closing = self._cancelled = self._finished = self._abandoned = False
        self._over = False  # the run's thread will not look at the queue again
        self._cause: BaseException | None = None  # why it ended, if not because it was closed
        self._sleeps_until = -math.inf
        self._asleep = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def batcher(self) -> Batcher:
        """What the run knows of how long its tasks take."""
        return self._scheduler.batcher

    # What frontends call.

    def submit_one(self, call: Call) -> Future[Any]:
        """Queue one call; return its future."""
        self._refuse_closed()
        future = self._submission.submit_one(call)
        if self._thread is None:  # from here on something is running, as in any executor
            self._submission.drain()
        self._wake()
        return future

    def submit(self, calls: Iterable[Call]) -> list[Future[Any]]:
        """Queue calls together; return their futures."""
        self._refuse_closed()
        futures = self._submission.submit_several(calls)
        self._wake()
        return futures

    def submit_stream(
        self,
        function: Callable[..., Any],
        calls: Iterable[Any],
        receiver: Callable[[int], Receiver],
        *,
        keywords: bool = False,
    ) -> None:
        """Queue the calls of one function as chunks, see `Submission.submit_stream`."""
        self._refuse_closed()
        self._submission.submit_stream(function, calls, receiver, keywords=keywords)
        if self._over:
            self._refuse_late()

    def forget_buffers(self) -> None:
        """See `Packer.forget_buffers`."""
        self._submission.forget_buffers()

    def cancel(self) -> None:
        """Drop what waits and withdraw what is in flight. Its futures raise CancelledError.

        Return when that is done, or after some seconds: what is left then expires by itself.
        """
        with self._changed:
            self._closing = self._cancelled = True
            in_flight, waiting = len(self._scheduler.jobs), self._scheduler.waiting
            declined = self._scheduler.declined
        if (in_flight or waiting) and self._transport.queues and not declined:
            log.warning("run %s is cancelled: %s tasks were not run", self.name, f"{waiting:,}")
        self._submission.drain()
        error = CancelledError(f"run {self.name} was cancelled while the task ran")
        self._apply(ev.Cancelled(error))
        self._ensure_cleaned()

    def abandon(self, error: BaseException) -> None:
        """Let all futures raise ``error``, and remove nothing: what it was sent to has gone."""
        self._abandoned = True
        self._give_up(error)
        if self._thread is None:
            self._finish()
        self._ended.set()

    def cancel_waiting(self) -> None:
        """Cancel what has never been sent."""
        self._submission.drain()
        self._apply(ev.WaitingCancelled())

    def close(self, *, wait: bool = True) -> None:
        """Take no more calls.

        Once all have an outcome, remove the run's objects. ``wait`` until then.
        """
        with self._changed:
            self._closing = True
            begun = self._thread is not None
        self._apply(ev.Closed())
        if not begun:
            self._finish()
        elif wait:
            self._await_end()

    def report(self) -> Report:
        """Return what has been done so far."""
        with self._changed:
            elapsed = self._clock() - self._begun if self._begun else 0.0
            counters = self._scheduler.counters
            return counters.report(running=len(self._scheduler.jobs), elapsed=elapsed)

    # Events in, actions out.

    def _moment(self) -> ev.Moment:
        capacity = self._transport.room(self.limits.window)
        requests = 0.0
        if self.limits.budget is not None:
            requests = self.limits.rates.cost(self._transport.calls.totals())
        return ev.Moment(self._clock(), (capacity,), requests)

    def _apply(self, event: ev.Event) -> None:
        """Have the scheduler handle an event, and perform what comes out."""
        with self._changed:
            moment = self._moment()
            actions = self._scheduler.handle(event, moment)
            self._settling.append(threading.get_ident())
            if (
                self._needs_tick(moment)
                or self._scheduler.next_deadline(moment) < self._sleeps_until
            ):
                self._changed.notify_all()
        try:
            self._perform(actions)
        finally:
            with self._changed:
                self._settling.remove(threading.get_ident())
                if self._closing:
                    self._changed.notify_all()

    def _perform(self, actions: list[ev.Action]) -> None:
        actions.reverse()
        while actions:  # taken out one by one: no reference to a value may outlive its delivery
            action = actions.pop()
            if isinstance(action, ev.SendJob):
                self._send(action)
            elif isinstance(action, ev.Deliver):
                action.span.receiver.deliver(action.span.part.start, action.values)
            elif isinstance(action, ev.Fail):
                part = action.span.part
                action.span.receiver.fail(part.start, part.stop, action.error)
            elif isinstance(action, ev.Withdraw):
                action.span.receiver.withdraw(action.span.part.start, action.span.part.stop)
            elif isinstance(action, ev.GiveUpRun):
                self._close_with(action.error)
            elif isinstance(action, ev.Warn):
                log.warning("run %s: %s", self.name, action.message)
            else:
                self._add_chore(action)
            del action
        self._show_progress()

    def _add_chore(self, chore: ev.Action | ev.JobFailed | ev.Broken) -> None:
        with self._changed:
            self._chores.append(chore)
            self._changed.notify_all()

    # On the way out.

    def _enqueue(self, batch: Batch) -> None:
        """Queue what is to be sent. The caller holds a lock: no future is completed here."""
        done = sum(outcome.kind == "value" for _, outcome in batch.restored)
        restored = len(batch.restored)
        failed = restored - done + len(batch.refused)
        with self._changed:
            self._start()
        self._apply(ev.Submitted(batch.spans, done=done, failed=failed, restored=restored))

    def _settle(self, batch: Batch) -> None:
        """Tell the outcomes that are known already."""
        for position, packed in batch.restored:
            outcome = packed.open()
            if isinstance(outcome, Value):
                batch.receiver.claim(position, position + 1)
                batch.receiver.deliver(position, [outcome.value])
            else:
                batch.receiver.fail(position, position + 1, outcome.to_error())
        for position, error in batch.refused:
            batch.receiver.fail(position, position + 1, error)

    def _wake(self) -> None:
        if self._asleep or self._over or self._thread is None:
            with self._changed:
                self._start()
                self._changed.notify_all()
            if self._over:
                self._refuse_late()

    def _refuse_late(self) -> None:
        """Fail what was submitted just as the run ended in another thread, and raise why."""
        error = CancelledError(f"run {self.name} had ended when the task was submitted")
        self._submission.drain()
        self._apply(ev.Broken(self._cause or error))
        self._refuse_closed()

    def _refuse_closed(self) -> None:
        """Raise why it takes no more tasks, if it does not."""
        if not self._closing:
            return
        if isinstance(self._cause, DolambdaError):
            raise self._cause
        why = f"it ended with {self._cause!r}" if self._cause else "it was shut down or cancelled"
        raise ConfigurationError(
            f"this run takes no more tasks: {why}",
            hint="Open a new executor, or call Parallel or foreach again.",
        ) from self._cause

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name=f"dolambda-{self.name}", daemon=True)
            thread.start()  # before it is kept: one that cannot be started ends nothing
            self._thread = thread
            self._begun = self._clock()

    def _send(self, action: ev.SendJob) -> None:
        job = action.job
        try:
            code = self._code()
            deadline = time.time() + self.limits.max_wait
            data = self._builder.job(job, deadline, code.digest if code else None).to_bytes(
                self._key
            )
            blobs = (*job.blobs, code) if code else job.blobs
            sealed = SealedJob(self.name, job.number, data, blobs)
            self._transport.send(sealed, partial(self._on_reply, job.number, action.attempt))
        except DolambdaError as error:
            self._add_chore(ev.JobFailed(job.number, error))
            return
        except BaseException as error:  # noqa: BLE001 - a transport closed underneath, or a defect: nobody may wait for ever
            self._add_chore(ev.Broken(error))
            return
        sent_before = action.attempt > 1 or job.copied
        with self._changed:
            ended = job.state not in (JobState.IN_FLIGHT, JobState.BACKING_OFF)
            cancelled = job.state is JobState.CANCELLED
        if cancelled or (ended and sent_before):  # just before: nothing waits for this sending
            self._add_chore(ev.RemoveObjects([job.number], stop=cancelled))

    # On the way back.

    def _on_reply(self, number: int, attempt: int, reply: bytes | BaseException) -> None:
        """Take the reply to a job, or why there is none. Called in a thread of the transport."""
        try:
            if isinstance(reply, BaseException):
                self._on_no_reply(number, attempt, reply)
            else:
                self._take_in(number, reply)
        except BaseException as error:
            log.exception("run %s: the reply to job %s could not be handled", self.name, number)
            self._apply(ev.JobFailed(number, error))

    def _on_no_reply(self, number: int, attempt: int, error: BaseException) -> None:
        if isinstance(error, Unanswered):
            self._apply(ev.AttemptLost(number, attempt, error.lost))
            return
        if isinstance(error, CancelledError):
            error = CancelledError(f"the transport was closed under run {self.name}")
        self._apply(ev.JobFailed(number, error))

    def _take_in(self, number: int, data: bytes) -> None:
        with self._changed:
            job = self._scheduler.jobs.get(number)
        if job is None:
            return
        try:
            reply = self._opened(data, number)
        except EnvelopeError as refused:
            log.warning("refused %s", refused)
            self._apply(_refused_reply(job, refused))
            return
        if self._record:
            self._record(reply)
        outcomes = list(self._outcomes(job, reply))
        fruitless = all(isinstance(outcome, ev.Missing) for outcome in outcomes)
        seconds = reply.outcomes.seconds
        if any(isinstance(outcome, ev.Missing) for outcome in outcomes):
            # A sequence of numbers.
            seconds = [one.seconds for one in reply.outcomes if one.kind != "lost"]  # type: ignore[assignment]
        self._apply(ev.ReplyReceived(number, outcomes, fruitless, seconds, reply.usage))

    def _opened(self, sealed: bytes, number: int) -> Reply:
        reply = Reply.from_bytes(sealed, self._key)
        if (reply.run, reply.number) != (self.name, number):
            raise EnvelopeError(
                f"the reply to job {reply.number} of run {reply.run} where the one to job {number} "
                f"of run {self.name} belongs",
                hint="A signed reply was copied. It was not unpickled.",
            )
        return reply

    def _outcomes(self, job: InFlightJob, reply: Reply) -> Iterator[ev.Outcome]:
        """Yield the outcomes of a job's tasks: many values together, everything else one by one."""
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
                    yield self._outcome(span.single(offset), table.outcome(at + offset))
            at += len(span)

    def _is_of(self, job: InFlightJob, reply: Reply) -> bool:
        """Return whether the reply is to these tasks: two clients may use one run's name."""
        if not self._named:
            return True
        expected = [one for span in job.spans for one in span.part.identities]
        return list(reply.outcomes.identities) == expected

    def _outcome(self, span: TaskSpan, packed: PackedOutcome) -> ev.Outcome:
        self._show_output(span.part.first, packed)
        outcome = packed.open()
        if isinstance(outcome, Value):
            return ev.Values(span, [outcome.value])
        if isinstance(outcome, Failure):
            return ev.Raised(span, outcome.exception)
        if outcome.reason in _BLAMELESS:
            return ev.Missing(span, outcome)
        return ev.Raised(span, outcome.to_error())

    def _show_output(self, index: int, packed: PackedOutcome) -> None:
        if packed.output and self._relay:
            try:
                self._relay(index, packed.output, packed.kind != "value")
            except BaseException:
                log.debug("the output of task %s could not be shown", index, exc_info=True)

    def _show_progress(self, *, over: bool = False) -> None:
        if not self._progress:
            return
        try:
            self._progress(replace(self.report(), over=over))
        except BaseException:  # the user's function may raise anything
            log.exception("progress= raised; the run continues")

    # The run's thread.

    def _serve(self) -> None:
        """Tick until the run is closed and everything has an outcome."""
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001 - a transport closed underneath, or a defect: nobody may wait for ever
            with self._changed:
                self._over = True
            self._give_up(error)
            self._do_chores()
        finally:
            self._finish()

    def _give_up(self, error: BaseException) -> None:
        """Let every future raise ``error``."""
        self._close_with(error)
        self._submission.drain()
        self._apply(ev.Broken(error))

    def _close_with(self, error: BaseException) -> None:
        """Take no more calls, because of ``error``."""
        with self._changed:
            self._closing = True
            self._cause = self._cause or error

    def _finish(self) -> None:
        """Report the end, once."""
        with self._changed:
            finished, self._finished = self._finished, True
        if finished:
            return
        try:
            if self._thread:
                self._show_progress(over=True)
            if self._on_end:
                self._on_end(self)
        except BaseException:  # a defect: those who wait for the end must not wait for ever
            log.exception("the end of run %s could not be recorded", self.name)
        finally:
            self._ended.set()

    def _step(self) -> bool:
        """Wait for something to do and do it. Return whether there may be more."""
        with self._changed:
            moment = self._moment()
            self._sleeps_until = until = self._scheduler.next_deadline(moment)
            timeout = None if until == math.inf else max(0.0, until - moment.now)
            self._asleep = True
            self._changed.wait_for(self._is_to_wake, timeout)
            self._over = self._is_over()
            if self._over:  # it stays asleep: who submits now finds that it is over
                return False
            self._asleep = False
        if self._submission.has_singles:  # else not even wait: another thread may pickle for long
            self._submission.drain()
        self._do_chores()
        self._apply(ev.Tick())
        self._do_chores()
        return True

    def _has_work(self, moment: ev.Moment) -> bool:
        busy = bool(self._chores) or self._submission.has_singles
        return busy or self._is_over() or self._needs_tick(moment)

    def _is_to_wake(self) -> bool:
        moment = self._moment()
        sooner = self._scheduler.next_deadline(moment) < self._sleeps_until
        return sooner or self._has_work(moment)

    def _needs_tick(self, moment: ev.Moment) -> bool:
        return self._scheduler.wants_tick(moment)

    def _is_over(self) -> bool:
        idle = not (self._chores or self._settling or self._submission.has_singles)
        return idle and self._scheduler.is_over

    def _do_chores(self) -> None:
        while self._chores:
            chore = self._chores.popleft()
            if isinstance(chore, ev.RemoveObjects):
                self._remove(chore)
            elif isinstance(chore, ev.AskToGoOn):
                self._ask(chore.estimate)
            elif isinstance(chore, ev.JobFailed):
                self._apply(chore)
            elif isinstance(chore, ev.Broken):
                self._give_up(chore.error)

    def _remove(self, chore: ev.RemoveObjects) -> None:
        if self._abandoned:
            return
        try:
            self._transport.withdraw(self.name, chore.numbers)
        except DolambdaError as error:
            log.warning("objects of run %s were not removed, they expire: %s", self.name, error)

    def _ask(self, estimate: Estimate) -> None:
        """Ask whether to go on, in a thread of its own: an answer has no deadline, and `cancel` waits for none."""
        name = f"dolambda-{self.name}-quote"
        threading.Thread(target=self._confirmed, args=(estimate,), name=name, daemon=True).start()

    def _confirmed(self, estimate: Estimate) -> None:
        """Take the answer. If it is no, what has not been sent fails."""
        try:
            go_on = self._confirm is None or self._confirm(estimate)
        except BaseException as error:  # noqa: BLE001 - a defect of who asks: nobody may wait for ever
            self._add_chore(ev.Broken(error))
            return
        hint = "Run it again and say yes, or run it without quote=."
        refusal = QuotedError(f"only the pilot was run: {estimate}", hint=hint)
        self._apply(ev.EstimateConfirmed(go_on, refusal))

    def _await_end(self) -> None:
        """Wait for the end; once there is nothing to do but clean up, as long as that may take."""
        while not self._ensure_ended(_LOOK_S):
            if self._cancelled or self._cause:
                self._ensure_cleaned()
                return

    def _ensure_cleaned(self) -> None:
        """Wait for the end as long as clean-up may take. A second Ctrl-C ends the wait."""
        done = False
        try:
            done = self._ensure_ended(left(self._clean_up.until()))
        finally:
            self._clean_up.ended(done=done)
        if not done:
            log.warning(
                "run %s: its objects could not be removed in time, they expire by themselves",
                self.name,
            )

    def _ensure_ended(self, timeout: float) -> bool:
        """Wait for the end, and return whether it has come.

        Not if it waits for the caller: for a callback of a future that is just being completed.
        """
        with self._changed:
            own = (
                threading.current_thread() is self._thread
                or threading.get_ident() in self._settling
            )
            started = self._thread is not None
        if not started:
            self._finish()
        return own or self._ended.wait(timeout)


def _refused_reply(job: InFlightJob, refused: EnvelopeError) -> ev.ReplyReceived:
    """Return what follows from a reply that is not to be believed."""
    # Signed with another key, over and over: the worker has replaced the key.
    reason = REFUSED if isinstance(refused, SignatureError) else NOT_STARTED
    said, _, hint = str(refused).partition("\n  ")
    outcomes = []
    for span in job.spans:
        lost = Lost(reason, f"task {span.part.first} is lost: its reply was refused: {said}", hint)
        outcomes.append(ev.Missing(span, lost))
    return ev.ReplyReceived(job.number, outcomes, fruitless=True, seconds=(), usage=None)
