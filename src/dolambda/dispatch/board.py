"""What waits, what is on its way, and what is to be sent next. On entry: tasks, and what became of jobs; on leaving: jobs to send.

The state of one run, without threads and without requests: `Run` has both, and calls everything here under its lock.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from dolambda.dispatch.agenda import Agenda
from dolambda.dispatch.batching import Batcher
from dolambda.dispatch.budget import Purse
from dolambda.dispatch.pilot import JOBS, Estimate
from dolambda.dispatch.report import Tally
from dolambda.dispatch.stragglers import Stragglers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolambda.dispatch.flight import Flight, Loader, Resting, Waiting
    from dolambda.dispatch.limits import Limits
    from dolambda.transport.base import Transport
    from dolambda.wire.outcome import Usage

_SENT_AT_ONCE = 64  # jobs cut under one hold of the lock
_GRACE = 10.0  # seconds a reply may take to be found after its job's last moment
_PAUSE, _LONGEST_PAUSE = (
    1.0,
    30.0,
)  # seconds before a job that AWS did not take is sent again, twice as long each further time
_HALVED = 2  # times that a job of several tasks is lost before it is sent in halves


class Fate(Enum):
    """What becomes of a lost job."""

    AGAIN = auto()
    """It is paid for, and to be sent again."""
    HALVED = auto()
    """Its tasks wait to be sent in two jobs."""
    UNPAID = auto()
    """Its tasks wait until the budget allows it."""
    GIVEN_UP = auto()
    """It was sent as often as may be: its tasks are lost."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the run's thread has to do now: jobs to send, late ones to send again, slow ones to copy, tasks to fail, a pilot to judge."""

    flights: list[Flight]
    late: list[Flight]
    slow: list[Flight]
    unpaid: list[Waiting]
    estimate: Estimate | None


class Board:
    """The tasks and jobs of one run.

    ``waiting`` is the queue, ``flights`` are the jobs on their way by number, ``landed`` the numbers whose objects are to be removed.
    ``heard`` is when a worker last gave a sign of life, were it by dying, on the monotonic clock;
    ``silent``, how many jobs were sent for the first time since and are given up; ``pilot``, whether one is under way.
    """

    def __init__(
        self,
        limits: Limits,
        loader: Loader,
        transport: Transport,
        *,
        first: int = 0,
        pilot: bool = False,
    ) -> None:
        """``first`` is the number of the first job."""
        self.waiting: deque[Waiting] = deque()
        self.flights: dict[int, Flight] = {}
        self.agenda = Agenda(self.flights)
        self.landed: list[int] = []
        self.tally = Tally()
        self.batcher = Batcher(limits.batch)
        self.purse = Purse(limits.budget, limits.rates, transport.calls.totals)
        self.heard = -math.inf
        self.silent = 0
        self.pilot = pilot
        self._limits = limits
        self._loader = loader
        self._transport = transport
        self._stragglers = Stragglers(copy=limits.speculate)
        self._ready: deque[Flight] = deque()
        self._number = first

    @property
    def is_empty(self) -> bool:
        """Whether no task waits, rests or is under way."""
        return not (self.waiting or self.flights or self.agenda.resting)

    def enqueue(self, tasks: Sequence[Waiting], *, done: int, restored: int, failed: int) -> None:
        """Take up tasks that wait, and count those that need not: ``restored`` ones, ``done`` of them, and ``failed`` ones."""
        self.waiting.extend(tasks)
        self.tally.tasks += len(tasks) + done + failed
        self.tally.restored += restored
        self.tally.done += done
        self.tally.failed += failed

    # What is to be sent.

    def has_work(self) -> bool:
        """Whether there is a turn to take, whatever the time."""
        return bool(
            self._ready
            or (self.waiting and (self._has_room() or self._is_broke()))
            or self._is_pilot_done()
        )

    def next(self) -> float:
        """When something is to happen of itself, on the monotonic clock."""
        return min(self.agenda.next(), self._next_slow())

    def take_turn(self) -> Turn:
        """What is to be done now."""
        self.waiting.extendleft(self.agenda.take_rested())
        late = self.agenda.take_overdue()
        slow = self._take_slow()
        flights = [*self._ready, *self.agenda.take_put_off()]
        self._ready.clear()
        while len(flights) < _SENT_AT_ONCE and (flight := self._cut()):
            flights.append(flight)
        return Turn(
            flights, late, slow, self._take_unpaid() if not flights else [], self._estimate()
        )

    def take_next(self) -> Flight | None:
        """The job that may be sent at once, as one has landed; None if nothing waits, or others are to be sent first."""
        return None if self._ready else self._cut()

    def begin(self) -> None:
        """Something is under way from here on, as in any executor: cut the first job, which is the first of the next turn."""
        if first := self._cut():
            self._ready.append(first)

    def expect(self, flight: Flight) -> None:
        """A job is about to be sent."""
        flight.attempt += 1
        flight.copies, flight.copied = 1, False
        flight.sent = time.monotonic()
        flight.since = flight.since or flight.sent
        flight.overdue = flight.sent + self._limits.max_wait + self._limits.runtime + _GRACE
        self.agenda.expect(flight)

    # What became of it.

    def unanswered(self, number: int, attempt: int) -> Flight | None:
        """One sending of a job ended without an answer: the job, None if another is under way, or about to be, which may have one."""
        flight = self.flights.get(number)
        if (
            flight is None or flight.attempt != attempt or not flight.under_way
        ):  # it has landed, was sent again, or is known to be lost
            return None
        flight.copies -= 1
        return None if flight.copies else flight

    def is_under_way(self, flight: Flight) -> bool:
        """Whether a job that was under way a moment ago still is: it has neither landed nor been known to be lost since."""
        return self.flights.get(flight.number) is flight and flight.under_way

    def lose(self, flight: Flight) -> Fate:
        """Decide what becomes of a lost job. From here on it is not under way, whoever reports it lost once more."""
        flight.overdue = math.inf
        if self._is_to_be_halved(flight):
            self._requeue(flight, flight.halved())
            return Fate.HALVED
        if flight.attempt >= self._limits.attempts:
            self.silent += self.heard < flight.since
            return Fate.GIVEN_UP
        self.purse.lose(flight.number)
        if self.purse.reserve(flight.number, len(flight.blobs)):
            self.tally.resent += len(flight.cargo)
            self.tally.again += 1
            return Fate.AGAIN
        for waiting in flight.cargo.values():
            waiting.fruitless += 1
        self._requeue(flight, list(flight.cargo.values()))
        return Fate.UNPAID

    def hear(self) -> None:
        """A worker has given a sign of life."""
        self.heard = time.monotonic()
        self.silent = 0

    def is_silent(self) -> bool:
        """Whether jobs that filled the window, two at least, were given up with no sign of life."""
        return self.silent >= max(2, self._limits.window)

    def send_again(self, flight: Flight, *, later: bool) -> None:
        """Have a lost job sent in the next turn, or after a pause."""
        if later:
            self.agenda.put_off(
                flight, time.monotonic() + min(_PAUSE * 2.0 ** (flight.attempt - 1), _LONGEST_PAUSE)
            )
        else:
            self._ready.append(flight)

    def take_landed(self, number: int) -> Flight | None:
        """A job is under way no more; None if it had ended before."""
        flight = self.flights.pop(number, None)
        if flight:
            self.landed.append(number)
        return flight

    def account(self, flight: Flight, usage: Usage | None) -> None:
        """Count what a job took that has come back; ``usage`` is None if it did not say."""
        if usage:
            self.tally.take_in(usage)
            self.purse.settle(flight.number, usage.seconds, usage.calls, cold=usage.cold)
        else:
            self.purse.lose(flight.number)
        under_way = time.monotonic() - flight.sent
        if flight.copied:
            self.tally.seconds += under_way  # what the copy that came too late has run, at most
        else:
            self._stragglers.landed(under_way)

    def settle(
        self,
        *,
        failed: int,
        done: int = 0,
        again: Sequence[Waiting] = (),
        resting: Sequence[Resting] = (),
    ) -> None:
        """Count what came of a job's tasks, and take up those that are to be sent ``again`` or rest before they are run again."""
        self.tally.done += done
        self.tally.failed += failed
        self.tally.retried += len(resting)
        self.tally.resent += len(again)
        self.waiting.extendleft(reversed(again))
        for one in resting:
            self.agenda.rest(one)

    def _is_to_be_halved(self, flight: Flight) -> bool:
        """Whether one of a lost job's tasks may be what it was lost of.

        While no worker gives a sign of life, it is not the task: halves, each with a deadline of its own, would only be waited for in vain.
        """
        lives = flight.attempt < self._limits.attempts or self.heard >= flight.since
        return len(flight.cargo) > 1 and flight.attempt >= _HALVED and lives

    def _requeue(self, flight: Flight, tasks: Sequence[Waiting]) -> None:
        """A lost job's tasks wait again, before all others."""
        self.take_landed(flight.number)
        self.purse.lose(flight.number)
        self.tally.resent += len(tasks)
        self.waiting.extendleft(reversed(tasks))

    # What is not to be run.

    def take_all(self) -> list[Waiting]:
        """Let go of every task: what waits, rests and is under way."""
        left = self.take_waiting()
        left += [waiting for flight in self.flights.values() for waiting in flight.cargo.values()]
        self.landed += self.flights
        self._ready.clear()
        self.flights.clear()
        return left

    def take_waiting(self) -> list[Waiting]:
        """Let go of the tasks that are not under way."""
        left = [*self.waiting, *self.agenda.resting]
        self.waiting.clear()
        self.agenda.forget_resting()
        return left

    def take_unsent(self) -> list[Waiting]:
        """Let go of the tasks that were never sent."""
        unsent = [waiting for waiting in self.waiting if not waiting.future.running()]
        self.waiting = deque(waiting for waiting in self.waiting if waiting.future.running())
        return unsent

    def end_pilot(self, *, go_on: bool) -> list[Waiting]:
        """Go on as without one; or else let go of what waits."""
        self.pilot = False
        return [] if go_on else self._fail_waiting()

    def _fail_waiting(self) -> list[Waiting]:
        failed, self.waiting = list(self.waiting), deque()
        self.tally.failed += len(failed)
        return failed

    def _cut(self) -> Flight | None:
        """Cut the next job from the queue, if there is room and money for one."""
        if not self.waiting or not self._has_room():
            return None
        flight = self._loader.load(
            self.waiting, self.batcher.size(len(self.waiting), self._limits.workers), self._number
        )
        if flight is None:
            return None
        if not self.purse.reserve(self._number, len(flight.blobs)):  # its blobs are too much
            self.waiting.extendleft(reversed(flight.cargo.values()))
            return None
        self._number += 1
        self.flights[flight.number] = flight
        self.tally.jobs += 1
        return flight

    def _has_room(self) -> bool:
        if self.pilot:
            room = JOBS - self.tally.jobs
        else:  # more jobs than workers only once it is known how many tasks a job should have
            most = (
                self._limits.window
                if self.batcher.knows
                else min(self._limits.window, self._limits.workers)
            )
            room = self._transport.room(most) - len(self.flights)
        return room > 0 and self.purse.affords()

    def _next_slow(self) -> float:
        """When the job that is longest under way is too slow, as long as there are idle workers for copies."""
        if self.waiting or self._ready or not self.flights or not self.purse.affords():
            return math.inf
        if len(self.flights) >= self._transport.room(self._limits.workers):
            return math.inf
        patience = self._stragglers.patience()
        first = next(
            (one for one in self.flights.values() if one.under_way and not one.copied), None
        )  # in the order of sending
        return math.inf if patience is None or first is None else first.sent + patience

    def _take_slow(self) -> list[Flight]:
        """The jobs that get a copy now, as many as there are idle workers."""
        now = time.monotonic()
        if self._next_slow() > now:
            return []
        latest = now - (self._stragglers.patience() or math.inf)
        slow = [
            one
            for one in self.flights.values()
            if one.under_way and not one.copied and one.sent <= latest and one.overdue > now
        ]
        idle = self._limits.workers - len(self.flights)
        copies = [flight for flight in slow[:idle] if self.purse.reserve(flight.number)]
        for flight in copies:
            flight.copied = True
            flight.copies += 1  # from here on: if the one under way is lost before this one is sent, that is no loss
        self.tally.copies += len(copies)
        return copies

    def _is_broke(self) -> bool:
        return bool(self.waiting) and not (
            self.flights or self.agenda.resting or self.purse.affords()
        )

    def _take_unpaid(self) -> list[Waiting]:
        """The tasks that the budget does not pay for, once nothing is under way any more that could leave some of it."""
        return self._fail_waiting() if self._is_broke() else []

    def _is_pilot_done(self) -> bool:
        return self.pilot and bool(self.waiting) and self.tally.jobs >= JOBS and not self.flights

    def _estimate(self) -> Estimate | None:
        """What the rest will take, once the pilot is done."""
        if not self._is_pilot_done():
            return None
        tasks, rates, tally = len(self.waiting), self._limits.rates, self.tally
        each = self.batcher.expected() or tally.seconds / tally.jobs
        batch = self.batcher.size(tasks, self._limits.workers)
        spent = (
            tally.seconds * rates.second + rates.cost(tally.calls) + tally.jobs * rates.invocation
        )
        return Estimate.from_pilot(
            tasks=tasks,
            each=each,
            batch=batch,
            workers=self._limits.workers,
            rates=rates,
            spent=spent,
        )
