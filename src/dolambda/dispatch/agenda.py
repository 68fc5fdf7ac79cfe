"""When something is to happen of itself: a flight is overdue, a lost one is to be sent, a failed task may run again.

Called under the run's lock.

On entry: flights as they are sent, tasks as they fail; on leaving: the next moment, and what is due by then. Times are on the
monotonic clock.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolambda.dispatch.flight import Flight, Resting, Waiting


class Agenda:
    """The moments of one run. ``flights`` is the run's own table: a moment of one that has landed counts no more."""

    def __init__(self, flights: Mapping[int, Flight]) -> None:
        """Nothing is to happen yet."""
        self._flights = flights
        self._overdue: deque[tuple[float, int, int]] = (
            deque()
        )  # in order, as all flights have the same time; no flight is kept by it
        self._put_off: list[tuple[float, int, int]] = []
        self._resting: list[Resting] = []

    @property
    def resting(self) -> list[Waiting]:
        """The failed tasks that are to run again."""
        return [one.waiting for one in self._resting]

    def expect(self, flight: Flight) -> None:
        """A flight is sent: ask for it at its ``overdue``."""
        self._overdue.append((flight.overdue, flight.number, flight.attempt))

    def put_off(self, flight: Flight, due: float) -> None:
        """A lost flight is to be sent again at ``due``: at once it might meet with the same trouble."""
        heapq.heappush(self._put_off, (due, flight.number, flight.attempt))

    def rest(self, one: Resting) -> None:
        """A failed task may run again at its ``due``."""
        heapq.heappush(self._resting, one)

    def next(self) -> float:
        """When something happens; infinity for never."""
        while self._overdue and not self._counts(*self._overdue[0]):
            self._overdue.popleft()
        overdue = self._overdue[0][0] if self._overdue else math.inf
        put_off = self._put_off[0][0] if self._put_off else math.inf
        return min(overdue, put_off, self._resting[0].due if self._resting else math.inf)

    def take_overdue(self) -> list[Flight]:
        """The flights whose time is over."""
        late: list[Flight] = []
        while self._overdue and self._overdue[0][0] <= time.monotonic():
            moment = self._overdue.popleft()
            if self._counts(*moment):
                late.append(self._flights[moment[1]])
        return late

    def take_put_off(self) -> list[Flight]:
        """The lost flights whose turn has come."""
        ready: list[Flight] = []
        while self._put_off and self._put_off[0][0] <= time.monotonic():
            _, number, attempt = heapq.heappop(self._put_off)
            flight = self._flights.get(number)
            if (
                flight is not None and flight.attempt == attempt
            ):  # it has neither landed nor been sent since
                ready.append(flight)
        return ready

    def take_rested(self) -> list[Waiting]:
        """The failed tasks that may run again."""
        rested: list[Waiting] = []
        while self._resting and self._resting[0].due <= time.monotonic():
            rested.append(heapq.heappop(self._resting).waiting)
        return rested

    def forget_resting(self) -> None:
        """None of them is to run again."""
        self._resting.clear()

    def _counts(self, due: float, number: int, attempt: int) -> bool:
        """Whether the flight has neither landed, been sent again nor been known to be lost since."""
        flight = self._flights.get(number)
        return flight is not None and (flight.overdue, flight.attempt) == (due, attempt)
