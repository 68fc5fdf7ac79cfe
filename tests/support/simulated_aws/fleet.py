"""Lambda: environments that start cold and are warm afterwards, within limits.

On entry: invocations; on leaving: each has begun in an environment, waits in the queue of
asynchronous events, or is refused. Times are on the event loop's clock.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        self._loop = asyncio.get_running_loop()
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
        self._begin(environment, begin)
        return None

    def queue(self, begin: Callable[[Environment], None]) -> None:
        """Begin an invocation as soon as there is an environment for it, as asynchronous events
        do.
        """
        self._events.append(begin)
        self._pump()

    def release(self, environment: Environment, *, dead: bool = False) -> None:
        """An invocation has ended."""
        self.busy -= 1
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
                    self._loop.call_at(
                        self._burst_began + self.behaviour.burst_every + 0.001, self._pump
                    )
                return
            self._begin(environment, self._events.popleft())

    def _take(self) -> Environment | str:
        if self._idle:
            return self._idle.pop()
        if self.started >= self.behaviour.concurrency:
            return CONCURRENCY
        now = self._loop.time()
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
        self._loop.call_later(start, begin, environment)
