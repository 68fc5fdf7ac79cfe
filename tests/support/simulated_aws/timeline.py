"""Lambda's time where its durations are divided by a factor, and the client's are not.

**Input:** callbacks and when they are due, jobs as they arrive and end. **Output:** calls in their
order, and how long all jobs took.

The clock never passes the next timer: one that fires late, because the machine is busy, has fired
in time. While a slot is free and the client has a job for it, the clock runs slower by the factor.
So a second that the client polls or pauses counts as one second of AWS, as it does there.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.simulated_aws.behaviour import Behaviour


class Timeline:
    """The clock of one function, with those methods of an event loop that a `Fleet` uses."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._loop = asyncio.get_running_loop()
        self._behaviour = behaviour
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._armed: asyncio.TimerHandle | None = None
        self._then, self._since = 0.0, self._loop.time()
        self._rate = 1.0
        self._received = self._ended = 0
        self._first = self._last = 0.0

    @property
    def makespan(self) -> float:
        """Seconds from the first job's arrival to the last one's end."""
        return self._last - self._first

    def time(self) -> float:
        """Return the seconds since the clock was made."""
        now = self._then + (self._loop.time() - self._since) * self._rate
        return min(now, self._timers[0][0]) if self._timers else now

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        self.call_at(self.time() + seconds, callback, *args)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> None:
        call: Callable[[], object] = partial(callback, *args)
        heapq.heappush(self._timers, (when, next(self._order), call))
        self._go_on(self.time())

    def received(self) -> None:
        """Record that a job has arrived."""
        if not self._received:
            self._first = self.time()
        self._received += 1
        self._go_on(self.time())

    def ended(self) -> None:
        """Record that a job has ended."""
        self._last = self.time()
        self._ended += 1
        self._go_on(self._last)

    def _go_on(self, now: float) -> None:
        """Continue from ``now`` at the pace that the free slots ask for."""
        self._then, self._since = now, self._loop.time()
        free = self._received - self._ended < self._behaviour.concurrency
        waits = free and self._received < self._behaviour.tasks
        self._rate = 1 / self._behaviour.factor if waits else 1.0
        if self._armed:
            self._armed.cancel()
        if self._timers:
            left = max(0.0, self._timers[0][0] - now)
            self._armed = self._loop.call_later(left / self._rate, self._fire)

    def _fire(self) -> None:
        when, _, callback = heapq.heappop(self._timers)
        self._go_on(when)
        callback()
