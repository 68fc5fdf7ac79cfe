"""Tasks whose outcomes are known.

On entry: how many, and a seed; on leaving: their calls, and which of their futures are wrong.

A seed decides which task returns little or much, raises, sleeps, or ends its whole environment.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dolambda.errors import NoReplyError, WorkerCrashedError
from support.simulated_aws.functions import EnvironmentDies

if TYPE_CHECKING:
    from concurrent.futures import Future

    from dolambda import LambdaExecutor

FATES = {"return": 90, "raise": 6, "large": 2, "sleep": 2}
_LARGE = 300_000  # bytes: more than what goes by way of `SmallObjects`
_APART = 10_000  # numbers: more than what travels inside a job
_EVERY = 10  # how many tasks there are for each that is given so many


def arguments(number: int, fate: str) -> tuple[Any, ...]:
    return (number, fate) if number % _EVERY else (number, fate, np.full(_APART, number))


def task(number: int, fate: str, given: Any = None) -> Any:
    time.sleep(0.05 if fate == "sleep" else 0.02)  # of the simulation's time
    if fate == "raise":
        raise KeyError(number)
    if fate == "poison":
        raise EnvironmentDies
    if given is not None:
        assert (given == number).all()
    return bytes([number % 256]) * _LARGE if fate == "large" else number * 2


def rest(number: int, seconds: float) -> int:
    """Sleep, of the simulation's time."""
    time.sleep(seconds)
    return number * 2


@dataclass(frozen=True)
class Oracle:
    """Knows what each of the ``fates`` must come to."""

    fates: tuple[str, ...]

    @classmethod
    def drawn(cls, tasks: int, seed: int, poison: int = 0) -> Oracle:
        """``poison`` of so many tasks end their environment."""
        draw = random.Random(seed)  # noqa: S311 - repeatable, no secret
        fates = draw.choices(list(FATES), weights=list(FATES.values()), k=tasks)
        for number in draw.sample(range(tasks), poison):
            fates[number] = "poison"
        return cls(tuple(fates))

    def submit(self, executor: LambdaExecutor) -> list[Future[Any]]:
        """Submit all, in order."""
        return [
            executor.submit(task, *arguments(number, fate))
            for number, fate in enumerate(self.fates)
        ]

    def injected(self) -> dict[str, int]:
        """How many there are of each."""
        return dict(Counter(self.fates))

    def wrong(self, futures: list[Future[Any]]) -> list[int]:
        """The tasks that have not come to what they must have; all have to be done."""
        assert len(futures) == len(self.fates)
        return [
            number for number, future in enumerate(futures) if not self._is_right(number, future)
        ]

    def _is_right(self, number: int, future: Future[Any]) -> bool:
        fate = self.fates[number]
        error = future.exception(0)
        if fate == "poison":
            return isinstance(error, (WorkerCrashedError, NoReplyError))
        if fate == "raise":
            return type(error) is KeyError and error.args == (number,)
        if error is not None:
            return False
        return bool(
            future.result() == (bytes([number % 256]) * _LARGE if fate == "large" else number * 2)
        )
