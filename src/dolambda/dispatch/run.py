"""One run: from the calls a user makes to the futures they hold.

Each state of a call has its own class:

    (function, args, kwargs)
        | submit         pickled at once (`Intake`), in the caller's thread: what is sent is what was meant
    Waiting              in the queue (`Board`), its future pending
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

import logging
import math
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dolambda.dispatch.board import Board, Fate
from dolambda.dispatch.flight import Flight, Loader, Resting, Waiting
from dolambda.dispatch.futures import cancel, complete, for_all
from dolambda.dispatch.intake import Intake
from dolambda.errors import (
    ConfigurationError,
    DolambdaError,
    EnvelopeError,
    LostError,
    NoReplyError,
    QuotedError,
    SignatureError,
)
from dolambda.transport.base import SealedJob, Unanswered
from dolambda.transport.clean_up import CleanUp, left
from dolambda.wire.outcome import (
    CANCELLED,
    NO_REPLY,
    NOT_STARTED,
    REFUSED,
    Lost,
    PackedOutcome,
    Reply,
    Value,
)
from dolambda.wire.task import Packer, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future

    from dolambda.dispatch.batching import Batcher
    from dolambda.dispatch.intake import Call, Taken
    from dolambda.dispatch.limits import Limits
    from dolambda.dispatch.pilot import Estimate
    from dolambda.dispatch.report import Report
    from dolambda.dispatch.stored import Stored
    from dolambda.transport.base import Transport
    from dolambda.wire.blob import Blob
    from dolambda.wire.outcome import Usage

log = logging.getLogger("dolambda")

_AGAIN = (NOT_STARTED, CANCELLED)
_WITHOUT_IT = Lost(NOT_STARTED, "its job was answered without it")
_CLEAN_EVERY = 250  # replies: those that are left there are in each look
_HOW = {
    Fate.AGAIN: "again",
    Fate.HALVED: "in halves",
    Fate.UNPAID: "again when the budget allows it",
}
_LOOK = 0.5  # seconds between two looks whether there is still something to wait for
_NAMED = 5  # tasks of a lost job that are told by number


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
        salt: Callable[[], bytes] | None = None,
        verdict: Callable[[Estimate], bool] | None = None,
        on_end: Callable[[Run], None] | None = None,
        clean_up: CleanUp | None = None,
    ) -> None:
        """``code`` gives the bundle of the user's own modules; ``progress`` gets reports.

        ``relay`` gets a task's number, what it printed, and whether it failed. ``same_buffers``, ``same_functions`` and ``salt``: see
        `Packer`; ``stored`` is what an earlier client has left of this run. ``verdict`` is asked after a pilot whether to go on.
        ``on_end`` is called once, when the run has ended, however it did. ``clean_up`` bounds how
        long `cancel` waits.
        """
        self.name = name
        self.limits = limits
        self._transport = transport
        self._key = key
        self._code = code
        self._relay = relay
        self._progress = progress
        self._verdict = verdict
        self._on_end = on_end
        self._clean_up = clean_up or CleanUp()
        self._intake = Intake(
            Packer(same_buffers=same_buffers, same_functions=same_functions, salt=salt),
            limits,
            stored,
        )
        self._loader = Loader(
            name, limits, surroundings or Surroundings(), same_buffers=same_buffers
        )
        self._board = Board(
            limits,
            self._loader,
            transport,
            first=stored.first if stored else 0,
            pilot=verdict is not None,
        )
        self._changed = threading.Condition()  # and the lock of the board
        self._settling: list[
            int
        ] = []  # threads that complete the futures of flights that have landed
        self._begun = 0.0
        self._closing = self._cancelled = self._finished = self._abandoned = False
        self._cause: BaseException | None = None  # why it ended, if not because it was closed
        self._until = -math.inf  # until when the run's thread sleeps, on the monotonic clock
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def batcher(self) -> Batcher:
        """What the run knows of how long its tasks take."""
        return self._board.batcher

    # What faces call.

    def submit(self, calls: Iterable[Call]) -> list[Future[Any]]:
        """Queue calls; give their futures at once. What cannot be pickled, or is too large, is an exception of its future."""
        return self._intake.take(calls, self._enqueue)

    def forget_buffers(self) -> None:
        """See `Packer.forget_buffers`."""
        self._intake.forget_buffers()

    def cancel(self) -> None:
        """Drop what waits, withdraw what is in flight; its futures raise CancelledError.

        Return when that is done, or after some seconds: what is left then expires by itself.
        """
        with self._changed:
            self._closing = self._cancelled = True
            flying = len(self._board.flights)
            dropped = self._board.take_all()
            self._changed.notify_all()
        if flying and self._transport.queues:
            log.warning(
                "run %s is cancelled: %s tasks will not run; %s jobs may be at work, which stop within seconds and are billed until then",
                self.name,
                f"{len(dropped):,}",
                f"{flying:,}",
            )
        for_all(dropped, self._cancel_one)
        self._ensure_cleaned()

    def abandon(self, error: BaseException) -> None:
        """Let all futures raise ``error``, and remove nothing: what it was sent to has gone."""
        self._abandoned = True
        self._give_up(error)
        with self._changed:
            begun = self._thread is not None
        if not begun:
            self._finish()
        self._ended.set()

    def cancel_waiting(self) -> None:
        """Cancel the futures of what has not been sent. What was sent once, and waits to be sent again, goes on."""
        with self._changed:
            dropped = self._board.take_unsent()
            self._changed.notify_all()
        for_all([waiting.future for waiting in dropped], cancel)

    def close(self, *, wait: bool = True) -> None:
        """Take no more calls; once all are settled, remove the run's objects. ``wait`` until then."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            begun = self._thread is not None
        if not begun:
            self._finish()
        elif wait:
            self._await_end()

    def report(self) -> Report:
        """What has been done so far."""
        with self._changed:
            elapsed = time.monotonic() - self._begun if self._begun else 0.0
            return self._board.tally.report(running=len(self._board.flights), elapsed=elapsed)

    # On the way out.

    def _enqueue(self, taken: Sequence[Taken]) -> None:
        good = [one for _, one in taken if isinstance(one, Waiting)]
        stored = [(future, one.open()) for future, one in taken if isinstance(one, PackedOutcome)]
        with self._changed:
            if self._closing:
                self._refuse()
            first = self._thread is None
            if first:
                self._start()  # it may not be possible: then nothing was queued
            done = sum(isinstance(outcome, Value) for _, outcome in stored)
            self._board.enqueue(
                good, done=done, restored=len(stored), failed=len(taken) - len(good) - done
            )
            if first:
                self._board.begin()
            self._changed.notify_all()
        for future, outcome in stored:
            complete(future, outcome if isinstance(outcome, Value) else outcome.to_error())

    def _refuse(self) -> None:
        """Raise why it takes no more tasks."""
        if isinstance(self._cause, DolambdaError):
            raise self._cause
        why = f"it ended with {self._cause!r}" if self._cause else "it was shut down or cancelled"
        raise ConfigurationError(
            f"this run takes no more tasks: {why}",
            hint="Open a new executor, or call Parallel or foreach again.",
        ) from self._cause

    def _start(self) -> None:
        """Start the run's thread, which waits for the lock that the caller holds."""
        thread = threading.Thread(target=self._serve, name=f"dolambda-{self.name}", daemon=True)
        thread.start()
        self._thread = thread
        self._begun = time.monotonic()

    def _serve(self) -> None:
        """Send what waits and what is overdue, until the run is closed and all is settled."""
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001 - a transport closed underneath, or a defect: nobody may wait for ever
            self._give_up(error)
            self._clean(self._board.landed)
        finally:
            self._finish()

    def _finish(self) -> None:
        """Report the end, once."""
        with self._changed:
            finished, self._finished = self._finished, True
        if finished:
            return
        try:
            if self._thread:
                self._tell(over=True)
            if self._on_end:
                self._on_end(self)
        except BaseException:  # a defect: those who wait for the end must not wait for ever
            log.exception("the end of run %s could not be recorded", self.name)
        finally:
            self._ended.set()

    def _step(self) -> bool:
        """Wait for something to do and do it; tell whether there may be more. What it refers to is let go in between."""
        with self._changed:
            self._until = until = self._board.next()
            patience = None if until == math.inf else max(0.0, until - time.monotonic())
            self._changed.wait_for(lambda: self._has_work() or self._board.next() < until, patience)
            over = self._is_over()
            turn = self._board.take_turn()
            landed: list[int] = []
            if over or len(self._board.landed) >= _CLEAN_EVERY:
                landed, self._board.landed = self._board.landed, landed
        self._clean(landed)
        if turn.estimate:
            self._judge(turn.estimate)
        for waiting in turn.unpaid:
            complete(waiting.future, self._board.purse.refusal(len(turn.unpaid)))
        if over:
            return False
        for late in turn.late:
            self._send_again(late)
        for flight in turn.flights:
            self._send(flight)
        for straggler in turn.slow:
            if self._board.is_under_way(straggler):
                self._send_copy(straggler)
        return True

    def _has_work(self) -> bool:
        return self._board.has_work() or self._is_over() or len(self._board.landed) >= _CLEAN_EVERY

    def _is_over(self) -> bool:
        return self._closing and self._board.is_empty and not self._settling

    def _judge(self, estimate: Estimate) -> None:
        """Ask whether to go on; if not, what has not been sent fails."""
        verdict, go_on = self._verdict, False
        try:
            go_on = verdict is None or verdict(estimate)
        finally:
            with self._changed:
                left = self._board.end_pilot(go_on=go_on)
            for waiting in left:
                error = QuotedError(
                    f"only the pilot was run: {estimate}",
                    hint="Run it again, and say yes, or without quote=.",
                )
                complete(waiting.future, error)

    def _send(self, flight: Flight) -> None:
        """Send a job, for the first time or because the one sent is lost."""
        with self._changed:
            self._board.expect(flight)
        self._send_copy(flight)

    def _take_following(self) -> Flight | None:
        """The job that takes the place of one that has landed, None if nothing waits; what else there is to do is the run's thread's.

        Called under the lock, by who handles the landing and sends it then: to wake the run's thread for each job costs as much as
        sending it.
        """
        following = self._board.take_next()
        if following:
            self._board.expect(following)
        if self._has_work() or self._board.next() < self._until:
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
        job = self._loader.job(
            flight, time.time() + self.limits.max_wait, code.digest if code else None
        )
        blobs = (*flight.blobs, code) if code else flight.blobs
        sealed = SealedJob(self.name, flight.number, job.to_bytes(self._key), blobs)
        self._transport.send(sealed, partial(self._land, flight.number, flight.attempt))
        if (flight.attempt > 1 or flight.copied) and flight.number not in self._board.flights:
            with (
                self._changed
            ):  # an earlier sending was answered just before: nothing looks for this one's reply
                self._board.landed.append(flight.number)
        self._tell()

    def _send_again(self, flight: Flight) -> None:
        """Send an overdue job again, whole or in halves; in the end its tasks are lost."""
        with self._changed:
            if not self._board.is_under_way(flight):  # what became of it has just come
                return
            fate = self._board.lose(flight)
            silent = fate is Fate.GIVEN_UP and self._board.is_silent()
        if fate is Fate.GIVEN_UP:
            what = (
                ", ".join(f"task {index}" for index in flight.cargo)
                if len(flight.cargo) <= _NAMED
                else f"{len(flight.cargo)} tasks"
            )
            msg = f"no reply to job {flight.number} ({what}) came after {flight.attempt} attempts"
            error = NoReplyError(
                msg,
                hint="`dolambda status` shows whether the stack stands; its log whether workers start at all.",
            )
            self._fail(flight.number, error)
            if silent:
                self._give_up(self._silence())
            return
        log.warning(
            "job %s of run %s has no reply by its deadline; it is sent %s",
            flight.number,
            self.name,
            _HOW[fate],
        )
        if fate is Fate.AGAIN:
            self._send(flight)
        elif fate is Fate.HALVED:
            self._clean(
                [flight.number]
            )  # a worker that is at it stops, and nothing looks for its reply any more

    def _silence(self) -> NoReplyError:
        jobs, attempts = self._board.silent, self.limits.attempts
        return NoReplyError(
            f"no worker has given a sign of life: {jobs} jobs were sent {attempts} times each, and none"
            " was answered; the run is given up",
            hint="`dolambda doctor` looks for the cause; `dolambda logs --all` shows whether workers start.",
        )

    # On the way back.

    def _land(self, number: int, attempt: int, answer: bytes | BaseException) -> None:
        """Settle the futures of a job. Called in a thread of the transport's."""
        try:
            self._take_in(number, attempt, answer)
        except BaseException as error:  # noqa: BLE001 - a defect: those who wait must hear of it, and the thread is not ours
            self._fail(number, error)

    def _take_in(self, number: int, attempt: int, answer: bytes | BaseException) -> None:
        if isinstance(answer, BaseException):
            self._missed(number, attempt, answer)
            return
        try:
            reply = self._opened(answer, number)
        except EnvelopeError as refused:
            log.warning("refused %s", refused)
            # Signed with another key, over and over: the worker has replaced the key, and refuses the jobs as we refuse its replies.
            reason = REFUSED if isinstance(refused, SignatureError) else NOT_STARTED
            said, _, hint = str(refused).partition("\n  ")
            self._settle(number, {}, Lost(reason, f"its reply was refused: {said}", hint), None)
            return
        with self._changed:
            self._board.hear()
        outcomes = {outcome.index: outcome for outcome in reply.outcomes}
        self.batcher.learn(
            [outcome.seconds for outcome in reply.outcomes if outcome.kind != "lost"],
            cold=reply.usage.cold,
        )
        self._settle(number, outcomes, _WITHOUT_IT, reply.usage)

    def _missed(self, number: int, attempt: int, error: BaseException) -> None:
        """One sending of a job has no answer. One that its transport knows to be lost is sent again, whole or in halves."""
        lost = error.lost if isinstance(error, Unanswered) else None
        with self._changed:
            flight = self._board.unanswered(number, attempt)
            if flight is None:
                return
            if lost:
                if lost.reason != NOT_STARTED:
                    self._board.hear()
                fate = self._board.lose(flight)
                silent = fate is Fate.GIVEN_UP and self._board.is_silent()
                if fate is Fate.AGAIN:
                    self._board.send_again(flight, later=lost.reason == NOT_STARTED)
                self._changed.notify_all()
        if isinstance(error, CancelledError):
            error = CancelledError(f"the transport was closed under run {self.name}")
        if lost is None:
            self._fail(number, error)
        elif fate is Fate.GIVEN_UP:
            self._fail(
                number,
                replace(
                    lost, reason=NO_REPLY if lost.reason == NOT_STARTED else lost.reason
                ).to_error(),
            )
            if silent:
                self._give_up(self._silence())
        else:
            log.warning(
                "job %s of run %s is sent %s: %s", number, self.name, _HOW[fate], lost.detail
            )

    def _opened(self, sealed: bytes, number: int) -> Reply:
        reply = Reply.from_bytes(sealed, self._key)
        if (reply.run, reply.number) != (self.name, number):
            raise EnvelopeError(
                f"the reply to job {reply.number} of run {reply.run} where the one to job {number} of run {self.name} belongs",
                hint="A signed reply was copied. It was not unpickled.",
            )
        return reply

    def _settle(
        self, number: int, outcomes: dict[int, PackedOutcome], otherwise: Lost, usage: Usage | None
    ) -> None:
        """Settle or queue again each task of a flight; ``otherwise`` says why one has no outcome."""
        flight = self._board.flights.get(number)
        if flight is None:  # cancelled meanwhile, or answered before
            return
        # A job whose culprit is known settles at least that one: its neighbours go back as often as it takes, blameless.
        fruitless = all(
            outcome.kind == "lost" and outcome.note["reason"] in _AGAIN
            for outcome in outcomes.values()
        )
        again: list[Waiting] = []
        resting: list[Resting] = []
        settled: list[tuple[Future[Any], Value | BaseException]] = []
        for index, waiting in flight.cargo.items():
            packed = outcomes.get(index) or outcomes.get(-1)
            if (
                packed and packed.task != waiting.task.identity and packed.kind != "lost"
            ):  # another client's, under the same name
                packed = None
            outcome = (
                packed.open()
                if packed
                else replace(otherwise, detail=f"task {index} is lost: {otherwise.detail}")
            )
            self._show(index, packed)
            waiting.fruitless += fruitless or packed is None
            waiting.suspects = None  # a job that is answered is not what kills a worker whole
            if (
                isinstance(outcome, Lost)
                and (packed is None or outcome.reason in _AGAIN)
                and waiting.fruitless < self.limits.attempts
            ):
                again.append(waiting)
                continue
            result = outcome if isinstance(outcome, Value) else outcome.to_error()
            rest = None if isinstance(result, Value) else self._rest(waiting, result)
            if rest:
                resting.append(rest)
            else:
                settled.append((waiting.future, result))
        with self._changed:
            if self._board.take_landed(number) is None:
                return
            self._board.account(flight, usage)
            failed = sum(not isinstance(result, Value) for _, result in settled)
            self._board.settle(
                done=len(settled) - failed, failed=failed, again=again, resting=resting
            )
            self._settling.append(threading.get_ident())
            following = self._take_following()
        settled.reverse()
        try:
            self._send_following(following)
            while (
                settled
            ):  # taken out one by one: no reference to a result may outlive its being handed over
                complete(*settled.pop())
            self._tell()
        finally:
            self._settled_one()

    def _fail(self, number: int, error: BaseException, *, last: bool = False) -> None:
        """Give up a flight: its futures raise ``error``.

        But for those whose tasks, being lost, are to be run again; none is if this is the ``last``.
        """
        with self._changed:
            flight = self._board.take_landed(number)
            if flight is None:
                return
            self._board.purse.lose(number)
            failed: list[Waiting] = []
            resting: list[Resting] = []
            for waiting in flight.cargo.values():
                again = isinstance(error, LostError) and not last
                rest = self._rest(waiting, error) if again else None
                if rest:
                    resting.append(rest)
                else:
                    failed.append(waiting)
            self._board.settle(failed=len(failed), resting=resting)
            self._settling.append(threading.get_ident())
            self._changed.notify_all()
        try:
            for waiting in failed:
                complete(waiting.future, error)
        finally:
            self._settled_one()

    def _show(self, index: int, packed: PackedOutcome | None) -> None:
        if packed and packed.output and self._relay:
            try:
                self._relay(index, packed.output, packed.kind != "value")
            except (
                BaseException
            ):  # standard output may be closed, or anything: it costs the text alone
                log.debug("the output of task %s could not be shown", index, exc_info=True)

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
        if not self._progress:
            return
        try:
            self._progress(replace(self.report(), over=over))
        except BaseException:  # the user's function may raise anything
            log.exception("progress= raised; the run continues")

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
            self._cause = self._cause or error
            waiting = self._board.take_waiting()
            numbers = list(self._board.flights)
            self._changed.notify_all()
        for number in numbers:
            self._fail(number, error, last=True)
        for one in waiting:
            complete(one.future, error)

    def _cancel_one(self, waiting: Waiting) -> None:
        error = CancelledError(f"run {self.name} was cancelled while task {waiting.task.index} ran")
        cancel(waiting.future, error)

    def _clean(self, numbers: Sequence[int]) -> None:
        if not numbers or self._abandoned:
            return
        try:
            self._transport.withdraw(self.name, numbers)
        except DolambdaError as error:
            log.warning(
                "objects of run %s were not removed, they expire by themselves: %s",
                self.name,
                error,
            )

    def _await_end(self) -> None:
        """Wait for the end; once there is nothing to do but clean up, as long as that may take."""
        while not self._ensure_ended(_LOOK):
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

    def _ensure_ended(self, timeout: float | None = None) -> bool:
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
