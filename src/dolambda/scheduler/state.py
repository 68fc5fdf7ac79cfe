"""The scheduler of one run: a state machine without clock, threads, locks and requests.

**Input:** an `Event` and the `Moment` at which it is handled. **Output:** `Action`s.

A task waits in the queue, backs off after a failure, or is in a job. A job in the table is in
flight or backs off. These are its transitions:

    state         event                                              action            next state
    (none)        capacity, money and waiting tasks                  SendJob           IN_FLIGHT
    IN_FLIGHT     ReplyReceived                                      Deliver, Fail     DONE
                  AttemptLost or its deadline, and then
                    a copy of it is still in flight                                    IN_FLIGHT
                    several tasks, lost twice                        RemoveObjects     SPLIT
                    attempts left and money, had it begun            SendJob           IN_FLIGHT
                    attempts left and money, had it not begun                          BACKING_OFF
                    attempts left, no money                                            UNPAID
                    no attempts left                                 Fail              GIVEN_UP
                  slow, while workers are idle                       SendJob (a copy)  IN_FLIGHT
                  JobFailed                                          Fail              GIVEN_UP
                  Cancelled, Broken                                  Fail              CANCELLED
    BACKING_OFF   its pause is over                                  SendJob           IN_FLIGHT
                  ReplyReceived (of an earlier attempt)              Deliver, Fail     DONE
                  Cancelled                                          Fail              CANCELLED

The tasks of a job that is SPLIT or UNPAID wait again. So do the tasks of a reply without an
outcome of their own, as often as there are attempts. A job that is lost repeatedly is halved until
its poison task is alone. Without a sign of life it is not halved: then the cause is not a task, and
once a job has had all its attempts the whole run is given up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dolambda.errors import LostError, QuotedError
from dolambda.scheduler import events as ev
from dolambda.scheduler import losses
from dolambda.scheduler.batching import Batcher
from dolambda.scheduler.job_sizes import JobSizes
from dolambda.scheduler.job_table import JobTable
from dolambda.scheduler.jobs import InFlightJob, JobBuilder, JobState
from dolambda.scheduler.ledger import Ledger
from dolambda.scheduler.pilot import Pilot
from dolambda.scheduler.report import RunCounters
from dolambda.scheduler.signs_of_life import SignsOfLife
from dolambda.scheduler.stragglers import Stragglers
from dolambda.scheduler.timers import Timers
from dolambda.scheduler.waiting import TaskQueue
from dolambda.wire.outcome import NOT_STARTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.scheduler.jobs import TaskSpan
    from dolambda.scheduler.limits import Limits
    from dolambda.wire.outcome import Lost, Usage

_SENT_AT_ONCE = 64  # jobs built while handling one event
_REPLY_GRACE_S = 10.0  # in which a reply may be found after its job's last moment
_BACK_OFF_S, _MAX_BACK_OFF_S = 1.0, 30.0  # twice as long each further time
_LOSSES_BEFORE_SPLIT = 2
_LOOK_S = 1.0  # between two checks whether AWS, which throttled, takes more


class Scheduler:
    """The tasks and jobs of one run.

    Args:
        limits: The limits of the run.
        builder: The builder of its jobs.
        first_job: Number of the first job.
        pilot: True to ask after a few jobs whether to continue.
    """

    def __init__(
        self, limits: Limits, builder: JobBuilder, *, first_job: int = 0, pilot: bool = False
    ) -> None:
        self._table = JobTable(limits, first_job)
        self.jobs = self._table.jobs
        self.counters = RunCounters()
        self.batcher = Batcher(limits.batch)
        self.ledger = Ledger(limits.budget, limits.rates)
        self.pilot = Pilot(wanted=pilot)
        self.sizes = JobSizes(self.batcher, self.pilot, limits, self.counters)
        self._limits = limits
        self._builder = builder
        self._queue = TaskQueue()
        self._timers = Timers(self.jobs)
        self._stragglers = Stragglers(self.jobs, copy=limits.speculate)
        self._signs = SignsOfLife()
        self._needed_blobs = 0  # of the job that the budget did not cover
        self._narrow = False  # True once the user was told that the budget keeps workers idle
        self._closed = False
        self._handlers: dict[type, Callable[[Any, ev.Moment], ev.Actions]] = {
            ev.Submitted: self._on_submitted,
            ev.ReplyReceived: self._on_reply_received,
            ev.AttemptLost: self._on_attempt_lost,
            ev.JobFailed: self._on_job_failed,
            ev.EstimateConfirmed: self._on_estimate_confirmed,
            ev.WaitingCancelled: self._on_waiting_cancelled,
            ev.Cancelled: self._on_cancelled,
            ev.Broken: self._on_cancelled,
            ev.Closed: self._on_closed,
            ev.Tick: self._on_tick,
        }

    def handle(self, event: ev.Event, moment: ev.Moment) -> ev.Actions:
        """Handle an event. Return the actions."""
        self.ledger.update(moment.requests)
        return self._handlers[type(event)](event, moment)

    @property
    def declined(self) -> bool:
        """True once the quote was declined: waiting tasks are refused, not cancelled."""
        return self.pilot.refusal is not None

    @property
    def is_idle(self) -> bool:
        """True if no task waits, backs off or is in flight."""
        return not (self._queue or self.jobs or self._timers.has_retries)

    @property
    def is_over(self) -> bool:
        """True if nothing will happen any more."""
        return self._closed and self.is_idle and not self._table.has_left_objects

    @property
    def waiting(self) -> int:
        """Number of tasks in the queue."""
        return self._queue.tasks

    def wants_tick(self, moment: ev.Moment, before: float = -math.inf) -> bool:
        """Return whether a `Tick` would do something at once, or is due ``before`` a time."""
        deadline = self.next_deadline(moment)
        return (
            (deadline < before or deadline <= moment.now)
            or self._has_something_to_send(moment)
            or self._is_pilot_done()
            or (self.declined and any(not span.sent for span in self._queue))
            or self._table.is_to_remove(over=self._closed and self.is_idle)
        )

    def _has_something_to_send(self, moment: ev.Moment) -> bool:
        if not self._queue:
            return False
        silent = self._signs.are_missing and not self.jobs
        if self._needed_blobs and not self.ledger.can_afford(self._needed_blobs):
            return silent or self._is_out_of_budget()
        return silent or self._has_capacity(moment) or self._is_out_of_budget()

    def next_deadline(self, moment: ev.Moment) -> float:
        """Return when the next `Tick` is due, on the scheduler's clock, or infinity for never."""
        throttled = self._queue and moment.capacity[0] < self._limits.window
        look = moment.now + _LOOK_S if throttled else math.inf
        return min(self._timers.next(), self._next_slow(moment), look)

    # Events.

    def _on_submitted(self, event: ev.Submitted, moment: ev.Moment) -> ev.Actions:
        self._queue.append(event.spans)
        self.counters.submitted(event)
        begun = self.counters.jobs or self._closed or self.declined
        return [] if begun else self._send_waiting(moment, 1)

    def _on_tick(self, event: ev.Tick, moment: ev.Moment) -> ev.Actions:
        self._queue.put_first(self._timers.take_retries(moment.now))
        actions = self._fail_declined()
        for job in self._timers.take_overdue(moment.now):
            actions += self._lose(job, losses.overdue(job), moment)
        for job in self._timers.take_backed_off(moment.now):
            actions.append(self._send(job, moment))
        actions += self._copy_slow(moment)
        actions += self._send_waiting(moment, _SENT_AT_ONCE)
        actions += self._give_up_silent_run()
        actions += self._fail_unpaid()
        actions += self._ask_to_go_on()
        if self._table.is_to_remove(over=self._closed and self.is_idle):
            actions += self._table.remove_all()
        return actions

    def _on_reply_received(self, event: ev.ReplyReceived, moment: ev.Moment) -> ev.Actions:
        job = self.jobs.get(event.number)
        if job is None:  # cancelled, given up, or its other copy was faster
            return []
        if event.usage:
            self._signs.seen(moment.now)
            self.batcher.learn(event.seconds, cold=event.usage.cold)
            self.pilot.learn(event.seconds, event.usage)
        self._table.end(job, JobState.DONE)
        self._account(job, event.usage, moment.now)
        again: list[TaskSpan] = []
        settled: ev.Actions = []
        for outcome in event.outcomes:
            settled += self._settle(outcome, again, moment, fruitless=event.fruitless)
        self._queue.put_first(again)
        self.counters.resent += sum(map(len, again))
        return self._send_waiting(moment, 1) + settled

    def _on_attempt_lost(self, event: ev.AttemptLost, moment: ev.Moment) -> ev.Actions:
        job = self.jobs.get(event.number)
        if job is None or job.attempt != event.attempt or job.state is not JobState.IN_FLIGHT:
            return []  # it has ended, was sent again, or is known to be lost
        if event.lost.reason != NOT_STARTED:
            self._signs.seen(moment.now)
        job.copies -= 1
        return [] if job.copies else self._lose(job, event.lost, moment)

    def _on_job_failed(self, event: ev.JobFailed, moment: ev.Moment) -> ev.Actions:
        job = self.jobs.get(event.number)
        return self._give_up(job, event.error, moment) if job else []

    def _on_estimate_confirmed(self, event: ev.EstimateConfirmed, moment: ev.Moment) -> ev.Actions:
        refusal = event.error or QuotedError("only the pilot was run")
        self.pilot.answered(None if event.go_on else refusal)
        declined = [] if event.go_on else self._queue.take_all()
        return [ev.Fail(span, refusal) for span in declined]  # not counted: nothing has failed

    def _on_waiting_cancelled(self, event: ev.WaitingCancelled, moment: ev.Moment) -> ev.Actions:
        return [ev.Withdraw(span) for span in self._queue.take_unsent()]

    def _on_cancelled(self, event: ev.Cancelled | ev.Broken, moment: ev.Moment) -> ev.Actions:
        self._closed = True
        spans = [*self._queue.take_all(), *self._timers.take_retries()]
        in_flight = list(self.jobs.values())
        for job in in_flight:
            self._table.end(job, JobState.CANCELLED)
            self.ledger.write_off(job.number)
            spans += job.spans
        broken = isinstance(event, ev.Broken)
        failing = [span for span in spans if span.sent or broken]
        withdrawn = [span for span in spans if not (span.sent or broken)]
        if broken:  # what the user cancelled has not failed
            self.counters.failed += sum(map(len, failing))
        actions: ev.Actions = [ev.Fail(span, event.error) for span in failing]
        actions += [ev.Withdraw(span) for span in withdrawn]
        return actions + self._table.remove_all(stop=bool(in_flight))

    def _on_closed(self, event: ev.Closed, moment: ev.Moment) -> ev.Actions:
        self._closed = True
        return []

    # Sending.

    def _send_waiting(self, moment: ev.Moment, most: int) -> ev.Actions:
        """Build up to ``most`` jobs from the queue, as far as capacity and money allow."""
        actions: ev.Actions = []
        while len(actions) < most and self._queue and self._has_capacity(moment):
            size = self.sizes.of_job(self._queue)
            job = self._builder.next_job(self._queue, size, self._table.next_number)
            if job is None:  # all were cancelled
                continue
            self._needed_blobs = len(job.blobs)
            if not self.ledger.reserve(job.number, self._needed_blobs):
                self._queue.put_first(job.spans)
                break
            self._needed_blobs = 0
            self._table.add(job, self._queue.tasks)
            self.counters.jobs += 1
            actions.append(self._send(job, moment))
        return actions + self._warn_of_narrow_budget(moment)

    def _send(self, job: InFlightJob, moment: ev.Moment) -> ev.SendJob:
        limits = self._limits
        job.sent(moment.now, moment.now + limits.max_wait + limits.runtime + _REPLY_GRACE_S)
        self._timers.expect(job)
        return ev.SendJob(job, job.attempt)

    def _has_capacity(self, moment: ev.Moment) -> bool:
        # More jobs than workers only when the number of tasks in a job is known.
        most = moment.capacity[0]
        if self.pilot.holds or not self.batcher.knows:
            most = min(most, self._limits.workers)
        if most <= len(self.jobs) or self._signs.are_missing:
            return False
        return self.ledger.can_afford() and self.pilot.allows(self.counters, len(self.jobs))

    def _copy_slow(self, moment: ev.Moment) -> ev.Actions:
        """Send copies of slow jobs, as many as there are idle workers."""
        if self._next_slow(moment) > moment.now:
            return []
        idle = min(self._limits.workers, moment.capacity[0]) - len(self.jobs)
        actions: ev.Actions = []
        for job in self._stragglers.slow(moment.now)[: max(idle, 0)]:
            if self.ledger.reserve(job.number):
                job.copied = True
                job.copies += 1
                self.counters.copies += 1
                actions.append(ev.SendJob(job, job.attempt))
        return actions

    def _next_slow(self, moment: ev.Moment) -> float:
        """Return when the oldest job in flight is too slow, if workers are idle."""
        if self._queue or not self.jobs or not self.ledger.can_afford():
            return math.inf
        if len(self.jobs) >= min(self._limits.workers, moment.capacity[0]):
            return math.inf
        return self._stragglers.next_slow()

    # Losses.

    def _lose(self, job: InFlightJob, lost: Lost, moment: ev.Moment) -> ev.Actions:
        """Decide what happens to a job that will have no reply. Nothing else decides it."""
        if self._is_to_be_split(job):
            self._table.end(job, JobState.SPLIT)
            self.ledger.write_off(job.number)
            self.counters.resent += len(job)
            self._queue.put_first(job.halves())
            stop = self._table.remove(job)
            return [stop, losses.resent(job, lost, "in halves")]
        if job.attempt >= self._limits.attempts:
            return self._give_up(job, losses.final(lost).to_error(), moment)
        self.ledger.write_off(job.number)
        if not self.ledger.reserve(job.number, len(job.blobs)):
            self._table.end(job, JobState.UNPAID)
            self.counters.resent += len(job)
            spans = [span.changed(empty_replies=span.empty_replies + 1) for span in job.spans]
            self._queue.put_first(spans)
            return [losses.resent(job, lost, "when the budget allows it")]
        self.counters.resent += len(job)
        self.counters.again += 1
        warning = losses.resent(job, lost, "again")
        if lost.reason != NOT_STARTED:
            return [warning, self._send(job, moment)]
        job.state, job.deadline = JobState.BACKING_OFF, math.inf
        pause = min(_BACK_OFF_S * 2.0 ** (job.attempt - 1), _MAX_BACK_OFF_S)
        self._timers.back_off(job, moment.now + pause)
        return [warning]

    def _is_to_be_split(self, job: InFlightJob) -> bool:
        """Return whether one of a lost job's tasks may be the cause.

        Without a sign of life the cause is another. Halves, each with a deadline of its own, would
        only prolong the wait.
        """
        alive = job.attempt < self._limits.attempts or self._signs.since(job.first_sent)
        return len(job) > 1 and job.attempt >= _LOSSES_BEFORE_SPLIT and alive

    def _give_up(self, job: InFlightJob, error: BaseException, moment: ev.Moment) -> ev.Actions:
        """Fail the tasks of a job, except those that are repeated."""
        self._table.end(job, JobState.GIVEN_UP)
        self.ledger.write_off(job.number)
        actions: ev.Actions = []
        for span in job.spans:
            actions += self._fail(span, error, moment, retry=isinstance(error, LostError))
        self._signs.given_up(job, error)
        return actions + self._give_up_silent_run()

    def _give_up_silent_run(self) -> ev.Actions:
        """Fail waiting tasks when all jobs in flight have had all their attempts without a sign.

        From the first such job on no new one is sent, until a worker gives a sign of life.
        """
        if not self._signs.are_missing or self.jobs:
            return []
        self._queue.put_first(self._timers.take_retries())
        cause = self._signs.take_cause(self._limits.attempts)
        if not self._queue:  # the run has nothing else to lose
            return []
        self._closed = True
        return [*self._fail_all(self._queue.take_all(), cause), ev.GiveUpRun(cause)]

    # Replies.

    def _settle(
        self, outcome: ev.Outcome, again: list[TaskSpan], moment: ev.Moment, *, fruitless: bool
    ) -> ev.Actions:
        span = outcome.span
        if isinstance(outcome, ev.Values):
            self.counters.done += len(span)
            return [ev.Deliver(span, outcome.values)]
        if isinstance(outcome, ev.Raised):
            return self._fail(span, outcome.error, moment, retry=True)
        # A job whose poison task is known settles at least that one. The others are sent again as
        # often as it takes.
        replies = span.empty_replies + fruitless
        if replies < self._limits.attempts:
            again.append(span.changed(empty_replies=replies, group=None))
            return []
        return self._fail(span, outcome.lost.to_error(), moment, retry=True)

    def _fail(
        self, span: TaskSpan, error: BaseException, moment: ev.Moment, *, retry: bool
    ) -> ev.Actions:
        """Fail tasks, or have them repeated after a pause."""
        pause = self._limits.retries.pause(error, span.retried) if retry else None
        if pause is None:
            return self._fail_all([span], error)
        self.counters.retried += len(span)
        self._timers.retry(span.changed(retried=span.retried + 1, group=None), moment.now + pause)
        return []

    def _account(self, job: InFlightJob, usage: Usage | None, now: float) -> None:
        """Count the usage of a job whose reply has arrived."""
        if usage:
            self.counters.take_in(usage)
            self.ledger.settle(job.number, usage.seconds, usage.calls, cold=usage.cold)
        else:
            self.ledger.write_off(job.number)
        in_flight = now - job.last_sent
        if job.copied:
            self.counters.seconds += in_flight  # the longest time that the slower copy has run
        else:
            self._stragglers.completed(in_flight)

    # Budget and pilot.

    def _is_out_of_budget(self) -> bool:
        if self.jobs or self._timers.has_retries or not self._queue:
            return False
        return not self.ledger.can_afford(self._needed_blobs)

    def _warn_of_narrow_budget(self, moment: ev.Moment) -> ev.Actions:
        """Warn once if workers are idle because the budget does not pay for more jobs at a time."""
        if self.ledger.budget is None or self._narrow or not self._queue or self.pilot.holds:
            return []
        workers = min(self._limits.workers, moment.capacity[0])
        if not 0 < len(self.jobs) < workers or self.ledger.can_afford(self._needed_blobs):
            return []
        self._narrow = True
        return [ev.Warn(self.ledger.narrowing(len(self.jobs), workers))]

    def _fail_unpaid(self) -> ev.Actions:
        """Fail tasks that the budget does not cover, when no job in flight can free some of it."""
        if not self._is_out_of_budget():
            return []
        refusal = self.ledger.refusal(self._queue.tasks)
        return self._fail_all(self._queue.take_all(), refusal)

    def _fail_all(self, spans: list[TaskSpan], error: BaseException) -> ev.Actions:
        """Fail tasks that are not repeated."""
        self.counters.failed += sum(map(len, spans))
        return [ev.Fail(span, error) for span in spans]

    def _fail_declined(self) -> ev.Actions:
        """Fail tasks that were submitted after the answer: they do not run either."""
        refusal = self.pilot.refusal
        return [ev.Fail(span, refusal) for span in self._queue.take_unsent()] if refusal else []

    def _is_pilot_done(self) -> bool:
        return not self.jobs and bool(self._queue) and self.pilot.is_to_ask(self.counters)

    def _ask_to_go_on(self) -> ev.Actions:
        """Estimate the rest, once the pilot is done."""
        if not self._is_pilot_done():
            return []
        state = (self._queue.tasks, self.batcher, self._limits, self.counters)
        return [ev.AskToGoOn(self.pilot.estimate(*state))]
