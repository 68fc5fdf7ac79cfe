"""Lambda: environments that start cold and are warm afterwards, within limits.

On entry: invocations; on leaving: each has begun in an environment, waits in the queue of
asynchronous events, or is refused. Times are on the event loop's clock, or a `Timeline`'s.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.simulated_aws.timeline import Timeline

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from support.simulated_aws.behaviour import Behaviour


@dataclass(slots=True)
class Environment:
    """A place where one invocation runs at a time."""

    name: str
    cold: bool = True


Start = "Callable[[Environment], None]"

CONCURRENCY = "ConcurrentInvocationLimitExceeded"
RATE = "FunctionInvocationRateLimitExceeded"


class Fleet:
    """The environments of one function."""

    def __init__(self, behaviour: Behaviour, counts: Counter[str]) -> None:
        self.behaviour = behaviour
        self._counts = counts
        self.timeline = Timeline(behaviour) if behaviour.factor > 1 else None
        self.clock = self.timeline or asyncio.get_running_loop()
        self._draw = random.Random(behaviour.seed)  # noqa: S311 - repeatable, no secret
        self._sleeping = 0
        self._idle: deque[Environment] = deque()
        self._events: deque[Callable[[Environment], None]] = deque()
        self._names = itertools.count()
        self.busy = self.most_busy = self.started = 0
        self._in_burst = 0
        self._burst_began = -1e9

    def invoke(self, begin: Callable[[Environment], None]) -> str | None:
        """Begin an invocation, or give Lambda's reason for refusing it."""
        environment = self._take()
        if isinstance(environment, str):
            return environment
        self.received()
        self._begin(environment, begin)
        return None

    def received(self) -> None:
        """Record that a job has come from the client."""
        if self.timeline:
            self.timeline.received()

    def queue(self, begin: Callable[[Environment], None]) -> None:
        """Begin an invocation as soon as there is an environment for it, as asynchronous events
        do.
        """
        if self.behaviour.retry_first:
            self._try(begin, self.clock.time(), self.behaviour.retry_first)
            return
        self._events.append(begin)
        self._pump()

    def _try(self, begin: Callable[[Environment], None], born: float, pause: float) -> None:
        """Begin an invocation, or put its event back for a while.

        "The retry interval increases exponentially from 1 second after the first attempt to a
        maximum of 5 minutes. If the queue contains many entries, Lambda increases the retry
        interval": developer guide, "How Lambda handles errors and retries with asynchronous
        invocation". By how much is not said; here it is twice as long.
        """
        environment = self._take()
        if not isinstance(environment, str):
            self._begin(environment, begin)
            return
        self._counts["events throttled"] += 1
        crowded = 2 if self._sleeping > self.behaviour.concurrency else 1
        rest = min(self.behaviour.retry_longest, pause * crowded) * self._draw.uniform(0.75, 1.25)
        if self.clock.time() + rest - born > self.behaviour.event_age:
            self._counts["events dropped"] += 1
            return
        self._sleeping += 1
        again = min(self.behaviour.retry_longest, pause * 2)
        self.clock.call_later(rest, self._try_again, begin, born, again)

    def _try_again(self, begin: Callable[[Environment], None], born: float, pause: float) -> None:
        self._sleeping -= 1
        self._try(begin, born, pause)

    def release(self, environment: Environment, *, dead: bool = False) -> None:
        """An invocation has ended."""
        self.busy -= 1
        if self.timeline:
            self.timeline.ended()
        if dead:
            self.started -= 1
        else:
            environment.cold = False
            self._idle.append(environment)
        self._pump()

    def _pump(self) -> None:
        while self._events:
            environment = self._take()
            if isinstance(environment, str):
                if environment == RATE:
                    self.clock.call_at(
                        self._burst_began + self.behaviour.burst_every + 0.001, self._pump
                    )
                return
            self._begin(environment, self._events.popleft())

    def _take(self) -> Environment | str:
        if self._idle:
            return self._idle.pop()
        if self.started >= self.behaviour.concurrency:
            return CONCURRENCY
        now = self.clock.time()
        if now - self._burst_began >= self.behaviour.burst_every:
            self._burst_began, self._in_burst = now, 0
        if self._in_burst >= self.behaviour.burst:
            return RATE
        self._in_burst += 1
        self.started += 1
        self._counts["cold starts"] += 1
        return Environment(f"simulated-{next(self._names)}")

    def _begin(self, environment: Environment, begin: Callable[[Environment], None]) -> None:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        self._counts["invocations"] += 1
        start = self.behaviour.cold_start if environment.cold else self.behaviour.warm_start
        self.clock.call_later(start, begin, environment)
