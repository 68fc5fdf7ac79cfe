"""One run: from the calls a user makes to the futures they hold.

Each state of a call has its own class:

    (function, args, kwargs)
        | submit         pickled at once, in the caller's thread: what is sent is what was meant
    Waiting              in the queue, its future pending
        | _send          as many jobs in flight as the window holds; when one lands, the thread that settles it sends the next
    Flight               a job on its way or at work, with a deadline
        | _land          the transport's threads: checked, unpickled, then the futures are settled, outside every lock
    Resting              failed, and waiting for the time at which the user's `Retries` let it run again
    a settled future     a value, the task's own exception, or a LostError

A flight that is overdue is sent again under its number, and one that is slow while workers are idle gets a copy (the first reply
wins). Tasks whose job ended before they began go back to the queue. A job of several tasks that is lost twice may be so because of one of
them: it is sent in halves, these in halves again, until that one stands alone and fails alone. Nothing waits for ever: every flight has
a deadline and every task a number of attempts, and a few more while its job is halved. In the end the run removes all objects it has
put.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import threading
import time
from collections import deque
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dolambda.dispatch.agenda import Agenda
from dolambda.dispatch.batching import Batcher
from dolambda.dispatch.budget import Purse
from dolambda.dispatch.flight import Flight, Loader, Resting, Waiting
from dolambda.dispatch.pilot import JOBS, Estimate
from dolambda.dispatch.report import Tally
from dolambda.dispatch.stragglers import Stragglers
from dolambda.errors import (
    ConfigurationError,
    DolambdaError,
    EnvelopeError,
    LostError,
    NoReplyError,
    NotPicklableError,
    QuotedError,
    SignatureError,
    TooLargeError,
)
from dolambda.transport.base import SealedJob, Unanswered
from dolambda.wire.outcome import CANCELLED, NO_REPLY, NOT_STARTED, REFUSED, Lost, PackedOutcome, Reply, Value
from dolambda.wire.task import PackedTask, Packer, Surroundings, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dolambda.dispatch.limits import Limits
    from dolambda.dispatch.report import Report
    from dolambda.dispatch.stored import Stored
    from dolambda.transport.base import Transport
    from dolambda.wire.blob import Blob
    from dolambda.wire.outcome import Usage

log = logging.getLogger("dolambda")

Call = tuple["Callable[..., Any]", "tuple[Any, ...]", "dict[str, Any]"]

_AGAIN = (NOT_STARTED, CANCELLED)
_WITHOUT_IT = Lost(NOT_STARTED, "its job was answered without it")
_PACKED_AT_ONCE = 256  # calls of a large submission: the first are on their way while the last are pickled
_SENT_AT_ONCE = 64  # jobs cut under one hold of the lock
_CLEAN_EVERY = 1000  # replies, so that a long run does not fill the bucket
_GRACE = 10.0  # seconds a reply may take to be found after its job's last moment
_NAMED = 5  # tasks of a lost job that are told by number
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds before a job that AWS did not take is sent again, twice as long each further time
_HALVED = 2  # times that a job of several tasks is lost before it is sent in halves


class Run:
    """Everything that one Parallel call, one executor or one foreach sends. For any thread."""

    def __init__(
        self,
        name: str,
        transport: Transport,
        key: bytes,
        limits: Limits,
        *,
        same_buffers: bool = False,
        same_functions: bool = False,
        surroundings: Surroundings | None = None,
        code: Callable[[], Blob | None] = lambda: None,
        relay: Callable[[int, str, bool], None] | None = None,
        progress: Callable[[Report], None] | None = None,
        stored: Stored | None = None,
        salt: bytes | None = None,
        verdict: Callable[[Estimate], bool] | None = None,
    ) -> None:
        """``code`` gives the bundle of the user's own modules; ``progress`` gets reports.

        ``relay`` gets a task's number, what it printed, and whether it failed. ``same_buffers``, ``same_functions`` and ``salt``: see
        `Packer`; ``stored`` is what an earlier client has left of this run. ``verdict`` is asked after a pilot whether to go on.
        """
        self.name = name
        self.limits = limits
        self.batcher = Batcher(limits.batch)
        self._transport = transport
        self._key = key
        self._code = code
        self._relay = relay
        self._progress = progress
        self._loader = Loader(name, limits, surroundings or Surroundings(), same_buffers=same_buffers)
        self._packer = Packer(same_buffers=same_buffers, same_functions=same_functions, salt=salt)
        self._stored = stored
        self._verdict = verdict
        self._packing = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: deque[Waiting] = deque()
        self._flights: dict[int, Flight] = {}
        self._agenda = Agenda(self._flights)
        self._stragglers = Stragglers(copy=limits.speculate)
        self._purse = Purse(limits.budget, limits.rates, transport.calls.totals)
        self._ready: deque[Flight] = deque()
        self._landed: list[int] = []
        self._settling: list[int] = []  # threads that complete the futures of flights that have landed
        self._numbers = stored.first if stored else 0
        self._indexes = 0
        self._heard = -math.inf  # when a worker last gave a sign of life, were it by dying, on the monotonic clock
        self._tally = Tally()
        self._begun = 0.0
        self._closing = False
        self._until = -math.inf  # until when the run's thread sleeps, on the monotonic clock
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    # What faces call.

    def submit(self, calls: Iterable[Call]) -> list[Future[Any]]:
        """Queue calls; give their futures at once. What cannot be pickled, or is too large, is an exception of its future."""
        calls = list(calls)  # before the lock: the caller's iterable may itself submit, or wait for what does
        futures: list[Future[Any]] = []
        with self._packing:  # indexes in the order of submission, and one packer
            packed = self._packer.pack(self._numbered(calls))
            while queued := [self._queued(one) for one in itertools.islice(packed, _PACKED_AT_ONCE)]:
                self._enqueue(queued)
                futures += [future for future, _ in queued]
        return futures

    def cancel(self) -> None:
        """Drop what waits, withdraw what is in flight; its futures raise CancelledError. Returns when that is done."""
        with self._changed:
            self._closing = True
            left = [*self._waiting, *self._agenda.resting]
            left += [waiting for flight in self._flights.values() for waiting in flight.cargo.values()]
            flying = len(self._flights)
            self._landed += self._flights
            self._waiting.clear()
            self._agenda.forget_resting()
            self._ready.clear()
            self._flights.clear()
            self._changed.notify_all()
        if flying and self._transport.queues:
            log.warning(
                "run %s is cancelled: %s tasks will not run; %s jobs may be at work, which stop within seconds and are billed until then",
                self.name,
                f"{len(left):,}",
                f"{flying:,}",
            )
        for waiting in left:
            if not _cancelled(waiting.future):
                waiting.future.set_exception(CancelledError(f"run {self.name} was cancelled while task {waiting.task.index} ran"))
        self._ensure_ended()

    def cancel_waiting(self) -> None:
        """Cancel the futures of what has not been sent. What was sent once, and waits to be sent again, goes on."""
        with self._changed:
            dropped = [waiting for waiting in self._waiting if not waiting.future.running()]
            self._waiting = deque(waiting for waiting in self._waiting if waiting.future.running())
            self._changed.notify_all()
        for waiting in dropped:
            _cancelled(waiting.future)

    def close(self, *, wait: bool = True) -> None:
        """Take no more calls; once all are settled, remove the run's objects. ``wait`` until then."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if wait:
            self._ensure_ended()

    def report(self) -> Report:
        """What has been done so far."""
        with self._changed:
            elapsed = time.monotonic() - self._begun if self._begun else 0.0
            return self._tally.report(running=len(self._flights), elapsed=elapsed)

    # On the way out.

    def _enqueue(self, queued: Sequence[tuple[Future[Any], Waiting | PackedOutcome | None]]) -> None:
        good = [one for _, one in queued if isinstance(one, Waiting)]
        stored = [(future, one.open()) for future, one in queued if isinstance(one, PackedOutcome)]
        with self._changed:
            if self._closing:
                msg = "this run takes no more tasks: it was shut down or cancelled"
                raise ConfigurationError(msg, mend="Open a new executor, or call Parallel or foreach again.")
            self._waiting.extend(good)
            self._tally.tasks += len(queued)
            self._tally.restored += len(stored)
            self._tally.done += (done := sum(isinstance(outcome, Value) for _, outcome in stored))
            self._tally.failed += len(queued) - len(good) - done
            if self._thread is None and (first := self._take_off()):  # something is under way from here on, as in any executor
                self._ready.append(first)
            if self._thread is None:
                self._begun = time.monotonic()
                self._thread = threading.Thread(target=self._serve, name=f"dolambda-{self.name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        for future, outcome in stored:
            future.set_running_or_notify_cancel()
            _complete(future, outcome if isinstance(outcome, Value) else outcome.to_error())

    def _numbered(self, calls: Iterable[Call]) -> Iterator[Task]:
        for function, args, kwargs in calls:
            yield Task(self._indexes, function, args, kwargs)
            self._indexes += 1

    def _queued(self, packed: PackedTask | NotPicklableError) -> tuple[Future[Any], Waiting | PackedOutcome | None]:
        """A task's future, and what it waits for: to be sent, or for an outcome that it has had; or, being refused, for nothing."""
        future: Future[Any] = Future()
        error = packed if isinstance(packed, NotPicklableError) else self._too_large(packed)
        if isinstance(packed, PackedTask) and not error:
            stored = self._stored.take(packed.identity) if self._stored else None
            return future, stored or Waiting(packed, future)
        future.set_exception(error)
        return future, None

    def _too_large(self, task: PackedTask) -> TooLargeError | None:
        if self.limits.room is None:
            return None
        nbytes = task.nbytes
        for blob in task.blobs:
            nbytes += len(blob.data)
        if nbytes < self.limits.room:
            return None
        return TooLargeError(
            f"the arguments of task {task.index} are of {nbytes >> 20:,} MB, a worker has {self.limits.room >> 20:,} MB of memory",
            mend="Pass a part of them, or a path to read from there; or deploy the stack with more memory.",
        )

    def _serve(self) -> None:
        """Send what waits and what is overdue, until the run is closed and all is settled."""
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001 - a transport closed underneath, or a defect: nobody may wait for ever
            self._give_up(error)
            self._clean(self._landed)
        finally:
            try:
                self._tell(over=True)
            finally:
                self._ended.set()

    def _step(self) -> bool:
        """Wait for something to do and do it; tell whether there may be more. What it refers to is let go in between."""
        with self._changed:
            self._until = until = self._next()
            patience = None if until == math.inf else max(0.0, until - time.monotonic())
            self._changed.wait_for(lambda: self._has_work() or self._next() < until, patience)
            over = self._is_over()
            self._waiting.extendleft(self._agenda.take_rested())
            overdue = self._agenda.take_overdue()
            slow = self._take_slow()
            flights = [*self._ready, *self._agenda.take_put_off()]
            self._ready.clear()
            while len(flights) < _SENT_AT_ONCE and (flight := self._take_off()):
                flights.append(flight)
            unpaid = self._take_unpaid() if not flights else []
            estimate = self._estimate()
            landed: list[int] = []
            if over or len(self._landed) >= _CLEAN_EVERY:
                landed, self._landed = self._landed, landed
        self._clean(landed)
        if estimate:
            self._judge(estimate)
        for waiting in unpaid:
            _fail_one(waiting.future, self._purse.refusal(len(unpaid)))
        if over:
            return False
        for late in overdue:
            self._send_again(late)
        for flight in flights:
            self._send(flight)
        for straggler in slow:
            self._send_copy(straggler)
        return True

    def _next(self) -> float:
        """When something is to happen of itself, on the monotonic clock. Called under the lock."""
        return min(self._agenda.next(), self._next_slow())

    def _next_slow(self) -> float:
        """When the job that is longest under way is too slow, as long as there are idle workers for copies."""
        if self._waiting or self._ready or not self._flights or not self._purse.affords():
            return math.inf
        if len(self._flights) >= self._transport.room(self.limits.workers):
            return math.inf
        patience = self._stragglers.patience()
        first = next((one for one in self._flights.values() if one.under_way and not one.copied), None)  # in the order of sending
        return math.inf if patience is None or first is None else first.sent + patience

    def _take_slow(self) -> list[Flight]:
        """The jobs that get a copy now, as many as there are idle workers. Called under the lock."""
        now = time.monotonic()
        if self._next_slow() > now:
            return []
        latest = now - (self._stragglers.patience() or math.inf)
        slow = [one for one in self._flights.values() if one.under_way and not one.copied and one.sent <= latest and one.overdue > now]
        idle = self.limits.workers - len(self._flights)
        copies = [flight for flight in slow[:idle] if self._purse.reserve(flight.number)]
        for flight in copies:
            flight.copied = True
        self._tally.copies += len(copies)
        return copies

    def _has_work(self) -> bool:
        to_send = self._ready or (self._waiting and (self._has_room() or self._is_broke()))
        return bool(to_send or self._is_pilot_done() or self._is_over() or len(self._landed) >= _CLEAN_EVERY)

    def _has_room(self) -> bool:
        if self._verdict:
            room = JOBS - self._tally.jobs
        else:  # more jobs than workers only once it is known how many tasks a job should have
            most = self.limits.window if self.batcher.knows else min(self.limits.window, self.limits.workers)
            room = self._transport.room(most) - len(self._flights)
        return room > 0 and self._purse.affords()

    def _is_pilot_done(self) -> bool:
        return bool(self._verdict and self._waiting) and self._tally.jobs >= JOBS and not self._flights

    def _estimate(self) -> Estimate | None:
        """What the rest will take, once the pilot is done. Called under the lock."""
        if not self._is_pilot_done():
            return None
        tasks, rates, tally = len(self._waiting), self.limits.rates, self._tally
        each = self.batcher.expected() or tally.seconds / tally.jobs
        batch = self.batcher.size(tasks, self.limits.workers)
        spent = tally.seconds * rates.second + rates.cost(tally.calls) + tally.jobs * rates.invocation
        return Estimate.from_pilot(tasks=tasks, each=each, batch=batch, workers=self.limits.workers, rates=rates, spent=spent)

    def _judge(self, estimate: Estimate) -> None:
        """Ask whether to go on; if not, what has not been sent fails."""
        verdict, go_on = self._verdict, False
        try:
            go_on = verdict is None or verdict(estimate)
        finally:
            with self._changed:
                self._verdict = None
                left: list[Waiting] = []
                if not go_on:
                    left, self._waiting = list(self._waiting), deque()
                    self._tally.failed += len(left)
            for waiting in left:
                error = QuotedError(f"only the pilot was run: {estimate}", mend="Run it again, and say yes, or without quote=.")
                _fail_one(waiting.future, error)

    def _is_broke(self) -> bool:
        return bool(self._waiting) and not (self._flights or self._agenda.resting or self._purse.affords())

    def _is_over(self) -> bool:
        return self._closing and not (self._waiting or self._flights or self._agenda.resting or self._settling)

    def _take_unpaid(self) -> list[Waiting]:
        """The tasks that the budget does not pay for, once nothing is under way any more that could leave some of it. Under the lock."""
        if not self._is_broke():
            return []
        unpaid, self._waiting = list(self._waiting), deque()
        self._tally.failed += len(unpaid)
        return unpaid

    def _take_off(self) -> Flight | None:
        """Cut the next job from the queue. Called under the lock."""
        if not self._waiting or not self._has_room():
            return None
        size = self.batcher.size(len(self._waiting), self.limits.workers)
        flight = self._loader.load(self._waiting, size, self._numbers)
        if flight is None:
            return None
        if not self._purse.reserve(self._numbers, len(flight.blobs)):  # its blobs are too much
            self._waiting.extendleft(reversed(flight.cargo.values()))
            return None
        self._numbers += 1
        self._flights[flight.number] = flight
        self._tally.jobs += 1
        return flight

    def _send(self, flight: Flight) -> None:
        """Send a job, for the first time or because the one sent is lost."""
        with self._changed:
            self._expect(flight)
        self._send_copy(flight)

    def _expect(self, flight: Flight) -> None:
        """A job is about to be sent. Called under the lock."""
        flight.attempt += 1
        flight.copies, flight.copied = 0, False
        flight.sent = time.monotonic()
        flight.since = flight.since or flight.sent
        flight.overdue = flight.sent + self.limits.max_wait + self.limits.runtime + _GRACE
        self._agenda.expect(flight)

    def _take_following(self) -> Flight | None:
        """The job that takes the place of one that has landed, None if nothing waits; what else there is to do is the run's thread's.

        Called under the lock, by who handles the landing and sends it then: to wake the run's thread for each job costs as much as
        sending it.
        """
        following = None if self._ready else self._take_off()
        if following:
            self._expect(following)
        if self._has_work() or self._next() < self._until:
            self._changed.notify_all()
        return following

    def _send_following(self, flight: Flight | None) -> None:
        if flight:
            try:
                self._send_copy(flight)
            except BaseException as error:  # noqa: BLE001 - a transport closed underneath, or a defect: its tasks must hear of it
                self._fail(flight.number, error)

    def _send_copy(self, flight: Flight) -> None:
        try:
            code = self._code()
        except DolambdaError as error:
            self._fail(flight.number, error)
            return
        flight.copies += 1
        job = self._loader.job(flight, time.time() + self.limits.max_wait, code.digest if code else None)
        blobs = (*flight.blobs, code) if code else flight.blobs
        sealed = SealedJob(self.name, flight.number, job.to_bytes(self._key), blobs)
        self._transport.send(sealed, partial(self._land, flight.number, flight.attempt))
        if (flight.attempt, flight.copies) != (1, 1) and flight.number not in self._flights:
            with self._changed:  # an earlier sending was answered just before: nothing looks for this one's reply
                self._landed.append(flight.number)
        self._tell()

    def _send_again(self, flight: Flight) -> None:
        """Send an overdue job again, whole or in halves; in the end its tasks are lost."""
        if self._is_to_be_halved(flight):
            log.warning("job %s of run %s has no reply by its deadline again; it is sent in halves", flight.number, self.name)
            self._halve(flight.number)
            self._clean([flight.number])  # a worker that is at it stops, and nothing looks for its reply any more
            return
        if flight.attempt >= self.limits.attempts:
            what = ", ".join(f"task {index}" for index in flight.cargo) if len(flight.cargo) <= _NAMED else f"{len(flight.cargo)} tasks"
            msg = f"no reply to job {flight.number} ({what}) came after {flight.attempt} attempts"
            error = NoReplyError(msg, mend="`dolambda status` shows whether the stack stands; its log whether workers start at all.")
            self._fail(flight.number, error)
            return
        log.warning("job %s of run %s has no reply by its deadline; it is sent again", flight.number, self.name)
        with self._changed:
            paid = flight.number in self._flights and self._pay_again(flight)  # an answer may have come at the last moment
        if paid:
            self._send(flight)

    def _is_to_be_halved(self, flight: Flight) -> bool:
        """Whether one of a lost job's tasks may be what it was lost of.

        While no worker gives a sign of life, it is not the task: halves, each with a deadline of its own, would only be waited for in vain.
        """
        lives = flight.attempt < self.limits.attempts or self._heard >= flight.since
        return len(flight.cargo) > 1 and flight.attempt >= _HALVED and lives

    def _halve(self, number: int) -> None:
        """Queue a job's tasks again, first of all, to be sent in two jobs."""
        with self._changed:
            flight = self._flights.pop(number, None)
            if flight is None:
                return
            self._tally.resent += len(flight.cargo)
            self._purse.lose(number)
            self._waiting.extendleft(reversed(flight.halved()))
            self._landed.append(number)
            self._changed.notify_all()

    # On the way back.

    def _land(self, number: int, attempt: int, answer: bytes | BaseException) -> None:
        """Settle the futures of a job. Called in a thread of the transport's."""
        try:
            self._take_in(number, attempt, answer)
        except BaseException as error:  # noqa: BLE001 - a defect: those who wait must hear of it, and the thread is not ours
            self._fail(number, error)

    def _take_in(self, number: int, attempt: int, answer: bytes | BaseException) -> None:
        if isinstance(answer, BaseException):
            if not self._may_be_answered(number, attempt):
                self._missed(number, answer)
            return
        try:
            reply = self._opened(answer, number)
        except EnvelopeError as refused:
            log.warning("refused %s", refused)
            # Signed with another key, over and over: the worker has replaced the key, and refuses the jobs as we refuse its replies.
            reason = REFUSED if isinstance(refused, SignatureError) else NOT_STARTED
            said, _, mend = str(refused).partition("\n  ")
            self._settle(number, {}, Lost(reason, f"its reply was refused: {said}", mend), None)
            return
        self._heard = time.monotonic()
        outcomes = {outcome.index: outcome for outcome in reply.outcomes}
        self.batcher.learn([outcome.seconds for outcome in reply.outcomes if outcome.kind != "lost"], cold=reply.usage.cold)
        self._settle(number, outcomes, _WITHOUT_IT, reply.usage)

    def _may_be_answered(self, number: int, attempt: int) -> bool:
        """One sending of a job ended without an answer: whether another is under way, or about to be, which may have one."""
        with self._changed:
            flight = self._flights.get(number)
            if flight is None:
                return False
            if flight.attempt != attempt or not flight.under_way:  # it was sent again for overdue, or is known to be lost
                return True
            flight.copies -= 1
            return flight.copies > 0

    def _missed(self, number: int, error: BaseException) -> None:
        """No answer will come to a job."""
        if isinstance(error, Unanswered):
            self._unanswered(number, error.lost)
        elif isinstance(error, CancelledError):
            self._fail(number, CancelledError(f"the transport was closed under run {self.name}"))
        else:
            self._fail(number, error)

    def _unanswered(self, number: int, lost: Lost) -> None:
        """Send a job again that its transport knows to be lost, whole or in halves; in the end its tasks are."""
        if lost.reason != NOT_STARTED:
            self._heard = time.monotonic()
        with self._changed:
            flight = self._flights.get(number)
            if flight is None:
                return
            halved = self._is_to_be_halved(flight)
            again = not halved and flight.attempt < self.limits.attempts
            if again:
                flight.overdue = math.inf
                if not self._pay_again(flight):
                    pass  # its tasks wait until there is money again
                elif lost.reason == NOT_STARTED:
                    self._agenda.put_off(flight, time.monotonic() + min(_PAUSE * 2.0 ** (flight.attempt - 1), _LONGEST_PAUSE))
                else:
                    self._ready.append(flight)
                self._changed.notify_all()
        if halved:
            log.warning("job %s of run %s is sent in halves: %s", number, self.name, lost.detail)
            self._halve(number)
        elif again:
            log.warning("job %s of run %s is sent again: %s", number, self.name, lost.detail)
        else:
            self._fail(number, replace(lost, reason=NO_REPLY if lost.reason == NOT_STARTED else lost.reason).to_error())

    def _pay_again(self, flight: Flight) -> bool:
        """Reserve a lost job once more; if the budget does not allow it now, its tasks wait until it does. Called under the lock."""
        self._tally.resent += len(flight.cargo)
        self._purse.lose(flight.number)
        if self._purse.reserve(flight.number, len(flight.blobs)):
            self._tally.again += 1
            return True
        del self._flights[flight.number]
        self._landed.append(flight.number)
        for waiting in flight.cargo.values():
            waiting.fruitless += 1
        self._waiting.extendleft(reversed(flight.cargo.values()))
        return False

    def _opened(self, sealed: bytes, number: int) -> Reply:
        reply = Reply.from_bytes(sealed, self._key)
        if (reply.run, reply.number) != (self.name, number):
            msg = f"the reply to job {reply.number} of run {reply.run} where the one to job {number} of run {self.name} belongs"
            raise EnvelopeError(msg, mend="A signed reply was copied. It was not unpickled.")
        return reply

    def _settle(self, number: int, outcomes: dict[int, PackedOutcome], otherwise: Lost, usage: Usage | None) -> None:
        """Settle or queue again each task of a flight; ``otherwise`` says why one has no outcome."""
        flight = self._flights.get(number)
        if flight is None:  # cancelled meanwhile, or answered before
            return
        # A job whose culprit is known settles at least that one: its neighbours go back as often as it takes, blameless.
        fruitless = all(outcome.kind == "lost" and outcome.note["reason"] in _AGAIN for outcome in outcomes.values())
        again: list[Waiting] = []
        resting: list[Resting] = []
        settled: list[tuple[Future[Any], Value | BaseException]] = []
        for index, waiting in flight.cargo.items():
            packed = outcomes.get(index) or outcomes.get(-1)
            if packed and packed.task != waiting.task.identity and packed.kind != "lost":  # another client's, under the same name
                packed = None
            outcome = packed.open() if packed else replace(otherwise, detail=f"task {index} is lost: {otherwise.detail}")
            self._show(index, packed)
            waiting.fruitless += fruitless or packed is None
            waiting.suspects = None  # a job that is answered is not what kills a worker whole
            if isinstance(outcome, Lost) and (packed is None or outcome.reason in _AGAIN) and waiting.fruitless < self.limits.attempts:
                again.append(waiting)
                continue
            result = outcome if isinstance(outcome, Value) else outcome.to_error()
            rest = None if isinstance(result, Value) else self._rest(waiting, result)
            if rest:
                resting.append(rest)
            else:
                settled.append((waiting.future, result))
        with self._changed:
            if self._flights.pop(number, None) is None:
                return
            self._account(flight, usage)
            failed = sum(not isinstance(result, Value) for _, result in settled)
            self._tally.done += len(settled) - failed
            self._tally.failed += failed
            self._tally.retried += len(resting)
            self._tally.resent += len(again)
            self._waiting.extendleft(reversed(again))
            for one in resting:
                self._agenda.rest(one)
            self._landed.append(number)
            self._settling.append(threading.get_ident())
            following = self._take_following()
        settled.reverse()
        try:
            self._send_following(following)
            while settled:  # taken out one by one: no reference to a result may outlive its being handed over
                _complete(*settled.pop())
            self._tell()
        finally:
            self._settled_one()

    def _account(self, flight: Flight, usage: Usage | None) -> None:
        """Count what a job took that has come back. Called under the lock."""
        if usage:
            self._tally.take_in(usage)
            self._purse.settle(flight.number, usage.seconds, usage.calls, cold=usage.cold)
        else:
            self._purse.lose(flight.number)
        under_way = time.monotonic() - flight.sent
        if flight.copied:
            self._tally.seconds += under_way  # what the copy that came too late has run, at most
        else:
            self._stragglers.landed(under_way)

    def _fail(self, number: int, error: BaseException) -> None:
        """Give up a flight: its futures raise ``error``, but for those whose tasks, being lost, are to be run again."""
        with self._changed:
            flight = self._flights.pop(number, None)
            if flight is None:
                return
            self._purse.lose(number)
            failed: list[Waiting] = []
            for waiting in flight.cargo.values():
                if isinstance(error, LostError) and (rest := self._rest(waiting, error)):
                    self._agenda.rest(rest)
                else:
                    failed.append(waiting)
            self._tally.failed += len(failed)
            self._tally.retried += len(flight.cargo) - len(failed)
            self._landed.append(number)
            self._settling.append(threading.get_ident())
            self._changed.notify_all()
        try:
            for waiting in failed:
                waiting.future.set_exception(error)
        finally:
            self._settled_one()

    def _show(self, index: int, packed: PackedOutcome | None) -> None:
        if packed and packed.output and self._relay:
            with contextlib.suppress(OSError, ValueError):  # standard output may be closed by now
                self._relay(index, packed.output, packed.kind != "value")

    def _rest(self, waiting: Waiting, error: BaseException) -> Resting | None:
        """Until when a failed task rests before it runs again; None if it does not."""
        pause = self.limits.retries.pause(error, waiting.retried)
        if pause is None:
            return None
        waiting.retried += 1
        waiting.suspects = None  # from the beginning
        return Resting(time.monotonic() + pause, waiting.task.index, waiting)

    def _tell(self, *, over: bool = False) -> None:
        """Show how far it is, if anyone looks."""
        if self._progress:
            self._progress(replace(self.report(), over=over))

    def _settled_one(self) -> None:
        with self._changed:
            self._settling.remove(threading.get_ident())
            if self._closing:
                self._changed.notify_all()

    # In the end.

    def _give_up(self, error: BaseException) -> None:
        """Let every future raise ``error``."""
        with self._changed:
            self._closing = True
            waiting = [one.future for one in [*self._waiting, *self._agenda.resting]]
            self._waiting.clear()
            self._agenda.forget_resting()
            numbers = list(self._flights)
        for number in numbers:
            self._fail(number, error)
        for future in waiting:
            _fail_one(future, error)

    def _clean(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        try:
            self._transport.withdraw(self.name, numbers)
        except DolambdaError as error:
            log.warning("objects of run %s were not removed, they expire by themselves: %s", self.name, error)

    def _ensure_ended(self) -> None:
        """Wait for the end, unless it waits for the caller: for a callback of a future that is just being completed."""
        with self._changed:
            own = threading.current_thread() is self._thread or threading.get_ident() in self._settling
            started = self._thread is not None
        if started and not own:
            self._ended.wait()


def _fail_one(future: Future[Any], error: BaseException) -> None:
    if future.running() or future.set_running_or_notify_cancel():
        future.set_exception(error)


def _cancelled(future: Future[Any]) -> bool:
    """Cancel a future that is not running, so that those who wait for it hear of it."""
    return future.cancel() and not future.set_running_or_notify_cancel()


def _complete(future: Future[Any], result: Value | BaseException) -> None:
    if isinstance(result, Value):
        future.set_result(result.value)
    else:
        future.set_exception(result)
