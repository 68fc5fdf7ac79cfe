"""The driver of one run's scheduler: it has the clock, the threads, the lock and the requests.

    submit, map      pickled at once in the caller's thread (`Submission`), then queued
    _apply           passes an event to the scheduler, under the lock, and performs the actions
    run's thread     has ticks made (`Transport.in_turn`): they send waiting, overdue and slow jobs;
                     removes objects
    transport        calls `ReplyHandler.take` in its own threads, which then send the next job

Futures are completed outside every lock.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any

from dolambda.errors import ConfigurationError, DolambdaError, RunTakenOverError
from dolambda.scheduler import events as ev
from dolambda.scheduler.chores import Chores
from dolambda.scheduler.hooks import RunHooks
from dolambda.scheduler.jobs import JobBuilder, JobState
from dolambda.scheduler.progress_reports import ProgressReports
from dolambda.scheduler.replies import ReplyHandler, ReplyReader
from dolambda.scheduler.run_end import RunEnd
from dolambda.scheduler.state import Scheduler
from dolambda.scheduler.submission import Submission
from dolambda.transport.clean_up import CleanUp
from dolambda.wire.packer import Packer
from dolambda.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from dolambda.scheduler.batching import Batcher
    from dolambda.scheduler.job_sizes import JobSizes
    from dolambda.scheduler.jobs import InFlightJob, Receiver
    from dolambda.scheduler.limits import Limits
    from dolambda.scheduler.report import Report
    from dolambda.scheduler.stored import Stored
    from dolambda.scheduler.submission import Batch, Call
    from dolambda.transport.base import Transport
    from dolambda.wire.blob import Blob
    from dolambda.wire.job import Place
    from dolambda.wire.task import TaskContext

log = logging.getLogger("dolambda")


class Run:
    """All that one `Parallel` call, one executor or one foreach sends. Thread-safe.

    ``key`` signs jobs and replies. If ``packer`` gives tasks identities, the run is a named one,
    and ``stored`` has the results of its earlier clients. ``code`` returns the archive of the
    user's own modules. ``clean_up`` limits the time of `cancel`.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        key: bytes,
        limits: Limits,
        *,
        packer: Packer | None = None,
        context: TaskContext | None = None,
        place: Place | None = None,
        code: Callable[[], Blob | None] = lambda: None,
        stored: Stored | None = None,
        hooks: RunHooks | None = None,
        clean_up: CleanUp | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        packer = packer or Packer(same_buffers=False)
        self.name = name
        self.limits = limits
        self._transport = transport
        self._key = key
        self._code = code
        self._hooks = hooks = hooks or RunHooks()
        self._clock = clock
        self._submission = Submission(packer, limits, stored, self._enqueue)
        self._builder = JobBuilder(
            name, limits, context, place=place, same_buffers=packer.same_buffers
        )
        reader = ReplyReader(name, key, hooks, named=packer.identifies)
        self._replies = ReplyHandler(reader, self._job, self._apply, transport.after_replies)
        first = 0 if stored is None else stored.first
        self._scheduler = Scheduler(
            limits, self._builder, first_job=first, pilot=hooks.confirm is not None
        )
        if hooks.live:
            hooks.live.is_busy = lambda: bool(self._scheduler.jobs)
        self._lock = threading.RLock()  # of the scheduler; a Condition's methods are slower
        self._changed = threading.Condition(self._lock)
        self._chores = Chores(
            name, transport, self._changed, hooks, apply=self._apply, give_up=self._give_up
        )
        self._reports = ProgressReports(hooks, clock)
        self._end = RunEnd(name, clean_up or CleanUp(), self._is_own_thread)
        self._settling: list[int] = []  # threads that complete futures
        self._begun = 0.0
        self._closing = self._cancelled = self._asleep = False
        self._over = False  # the run's thread will not check the queue again
        self._cause: BaseException | None = None  # why it ended, if not because it was closed
        self._sleeps_until = -math.inf
        self._thread: threading.Thread | None = None

    @property
    def batcher(self) -> Batcher:
        """The measured durations of the run's tasks."""
        return self._scheduler.batcher

    @property
    def sizes(self) -> JobSizes:
        """The number of tasks in jobs and batches."""
        return self._scheduler.sizes

    # Methods that frontends call.

    def submit_one(self, call: Call) -> Future[Any]:
        """Queue one call, and return its future."""
        self._refuse_closed()
        future = self._submission.submit_one(call)
        if self._thread is None:  # from now on something is running, as in any executor
            self._submission.drain()
        self._wake()
        return future

    def submit(self, calls: Iterable[Call]) -> list[Future[Any]]:
        """Queue calls together, and return their futures."""
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

    def after_replies(self, call: Callable[[], None]) -> None:
        """See `Transport.after_replies`."""
        self._transport.after_replies(call)

    def expect(self, tasks: int | None) -> None:
        """Record that tasks will be submitted. None means an unknown number."""
        with self._lock:
            self._scheduler.counters.expect(tasks)

    def forget_buffers(self) -> None:
        """See `Packer.forget_buffers`."""
        self._submission.forget_buffers()

    def cancel(self, *, warn: bool = True) -> None:
        """Drop waiting tasks and withdraw jobs in flight. Their futures raise CancelledError.

        ``warn`` logs how many tasks were not run. This waits some seconds: what is left expires.
        """
        with self._lock:
            self._closing = self._cancelled = True
            scheduler = self._scheduler
            waiting, declined = scheduler.waiting, scheduler.declined
            if not scheduler.is_idle:  # joblib submits a few at a time
                waiting += scheduler.counters.to_come
        if warn and waiting and self._transport.queues and not declined:
            log.warning("dolambda was cancelled: %s had not begun", count(waiting, "task"))
        self._submission.drain()
        error = CancelledError(f"run {self.name} was cancelled while the task ran")
        self._apply(ev.Cancelled(error))
        self._finish_unstarted()
        self._end.wait_for_clean_up()

    def abandon(self, error: BaseException) -> None:
        """Let all futures raise ``error``. Remove nothing: the place of the jobs is gone."""
        self._chores.removes = False
        self._give_up(error)
        self._finish_unstarted()
        self._end.reach()

    def cancel_waiting(self) -> None:
        """Cancel the tasks that were never sent."""
        self._submission.drain()
        self._apply(ev.WaitingCancelled())

    def close(self, *, wait: bool = True) -> None:
        """Accept no more calls, and remove the run's objects when all have an outcome.

        With ``wait``, return after that.
        """
        with self._lock:
            self._closing = True
        self._apply(ev.Closed())
        self._finish_unstarted()
        if wait:
            self._end.wait(lambda: self._cancelled or self._cause is not None)

    def report(self) -> Report:
        """Return the counts so far."""
        with self._lock:
            counters = self._scheduler.counters
            elapsed = self._clock() - self._begun if self._begun else 0.0
            running, declined = len(self._scheduler.jobs), self._scheduler.declined
            return counters.report(running=running, elapsed=elapsed, declined=declined)

    # Events in, actions out.

    def _moment(self) -> ev.Moment:
        capacity = self._transport.room(self.limits.window)
        requests = 0.0
        if self.limits.budget is not None:
            requests = self.limits.rates.cost(self._transport.calls.totals())
        return ev.Moment(self._clock(), (capacity,), requests)

    def _apply(self, *events: ev.Event) -> None:
        """Pass events of one moment to the scheduler, and perform the actions."""
        with self._lock:
            moment = self._moment()
            actions: ev.Actions = []
            for event in events:
                actions += self._scheduler.handle(event, moment)
            self._settling.append(threading.get_ident())
            if self._scheduler.wants_tick(moment, self._sleeps_until):
                self._changed.notify_all()
        try:
            self._perform(actions)
        finally:
            with self._lock:
                self._settling.remove(threading.get_ident())
                if self._closing:
                    self._changed.notify_all()

    def _perform(self, actions: ev.Actions) -> None:
        """Perform actions. A defect in one is raised once the others are performed."""
        actions.reverse()
        defect: BaseException | None = None
        while actions:
            try:
                self._perform_last(actions)
            except BaseException as error:  # noqa: BLE001 - it is raised below
                defect = error
        self._show_progress()
        if defect:
            raise defect

    def _perform_last(self, actions: ev.Actions) -> None:
        while actions:  # removed one by one: no reference to a value may outlive its delivery
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
                self._chores.add(action)
            del action

    # The way to workers.

    def _enqueue(self, batch: Batch) -> None:
        """Queue a batch. The caller holds a lock, so no future is completed here."""
        done = sum(outcome.kind == "value" for _, outcome in batch.restored)
        restored = len(batch.restored)
        failed = restored - done + len(batch.refused)
        with self._lock:
            self._start()
        self._apply(ev.Submitted(batch.spans, done=done, failed=failed, restored=restored))

    def _wake(self) -> None:
        if self._asleep or self._over or self._thread is None:
            with self._lock:
                self._start()
                self._changed.notify_all()
            if self._over:
                self._refuse_late()

    def _refuse_late(self) -> None:
        """Fail tasks submitted while the run ended in another thread. Raise the reason."""
        error = CancelledError(f"run {self.name} had ended when the task was submitted")
        self._submission.drain()
        self._apply(ev.Broken(self._cause or error))
        self._refuse_closed()

    def _refuse_closed(self) -> None:
        """Raise an error if the run accepts no more tasks."""
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
            thread.start()  # kept only if it can be started
            self._thread = thread
            self._begun = self._clock()

    def _send(self, action: ev.SendJob) -> None:
        job = action.job
        try:
            code = self._code()
            deadline = time.time() + self.limits.ahead + self.limits.max_wait
            sealed = self._builder.sealed(job, deadline, code, self._key)
            self._transport.send(sealed, partial(self._replies.take, job.number, action.attempt))
        except RunTakenOverError as error:  # no later job will be sent either
            self._chores.add(ev.Broken(error))
            return
        except DolambdaError as error:
            self._chores.add(ev.JobFailed(job.number, error))
            return
        except BaseException as error:  # noqa: BLE001
            # The transport was closed, or a defect: nobody may wait forever.
            self._chores.add(ev.Broken(error))
            return
        if self._hooks.live:
            self._hooks.live.job_sent(job.number)
        sent_before = action.attempt > 1 or job.copied
        with self._lock:
            ended = job.state not in (JobState.IN_FLIGHT, JobState.BACKING_OFF)
            cancelled = job.state is JobState.CANCELLED
        if cancelled or (ended and sent_before):  # just before: nothing waits for this attempt
            self._chores.add(ev.RemoveObjects([job.number], stop=cancelled))

    def _job(self, number: int) -> InFlightJob | None:
        with self._lock:
            return self._scheduler.jobs.get(number)

    def _show_progress(self, *, over: bool = False) -> None:
        self._reports.update(self.report, busy=bool(self._scheduler.jobs), over=over)
        if self._reports.due < self._sleeps_until:
            with self._lock:
                self._changed.notify_all()

    # Methods of the run's thread.

    def _serve(self) -> None:
        """Tick until the run is closed and everything has an outcome."""
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001
            # The transport was closed, or a defect: nobody may wait forever.
            with self._lock:
                self._over = True
            self._give_up(error)
            self._chores.do_all()
        finally:
            self._finish()

    def _give_up(self, error: BaseException) -> None:
        """Let every future raise ``error``."""
        self._close_with(error)
        self._submission.drain()
        self._apply(ev.Broken(error))

    def _close_with(self, error: BaseException) -> None:
        """Accept no more calls, because of ``error``."""
        with self._lock:
            self._closing = True
            self._cause = self._cause or error

    def _finish_unstarted(self) -> None:
        """Report the end of a run that has sent nothing: it has no thread for it."""
        with self._lock:
            started = self._thread is not None
        if not started:
            self._finish()

    def _finish(self) -> None:
        """Report the end, once."""
        if not self._end.claim():
            return
        try:
            if self._hooks.live:
                self._hooks.live.close(gone=not self._chores.removes)
            if self._thread:
                self._show_progress(over=True)
            if self._hooks.on_end:
                self._hooks.on_end(self)
        except BaseException:  # a defect: threads that wait for the end must not wait forever
            log.exception("the end of run %s could not be recorded", self.name)
        finally:
            self._end.reach()

    def _step(self) -> bool:
        """Wait for work and do it. Return whether there may be more."""
        with self._lock:
            moment = self._moment()
            until = min(self._scheduler.next_deadline(moment), self._reports.due)
            self._sleeps_until = until
            timeout = None if until == math.inf else max(0.0, until - moment.now)
            self._asleep = True
            self._changed.wait_for(self._is_to_wake, timeout)
            self._over = self._is_over()
            if self._over:  # the thread stays asleep: a later submitter finds that the run is over
                return False
            self._asleep = False
        # Otherwise without waiting: another thread may pickle for long.
        if self._submission.has_singles:
            self._submission.drain()
        self._chores.do_all()
        self._transport.in_turn(partial(self._apply, ev.Tick()))
        self._chores.do_all()
        return True

    def _has_work(self, moment: ev.Moment, before: float = -math.inf) -> bool:
        busy = bool(self._chores) or self._submission.has_singles
        return busy or self._is_over() or self._scheduler.wants_tick(moment, before)

    def _is_to_wake(self) -> bool:
        before = self._sleeps_until
        return self._reports.due < before or self._has_work(self._moment(), before)

    def _is_over(self) -> bool:
        idle = not (self._chores or self._settling or self._submission.has_singles)
        return idle and self._scheduler.is_over

    def _is_own_thread(self) -> bool:
        """Return whether the run waits for the caller: its own thread or a future's callback."""
        with self._lock:
            own = threading.current_thread() is self._thread
            return own or threading.get_ident() in self._settling
