"""A random stream for each task.

On entry: a seed and a task's index; on leaving: the task's result, and what it drew from.

Streams are numpy's: ``SeedSequence(seed, spawn_key=index)`` (O'Neill's design,
numpy.org/doc/stable/reference/random/parallel.html). They depend on nothing but seed and index: not
on backend, width, batch size, attempt, or how many tasks there are.
"""

from __future__ import annotations

import inspect
import operator
import random
import secrets
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

RNG = "rng"
"""Name of the parameter by which a function gets its stream."""


def takes_rng(function: Callable[..., Any]) -> bool:
    """Whether a function has such a parameter."""
    try:
        return RNG in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in functions have no signature
        return False


@dataclass(frozen=True)
class Seed:
    """``entropy`` and ``spawn_key`` are those of numpy's SeedSequence; ``everywhere``: seed `random` and `numpy.random` too."""

    entropy: int | tuple[int, ...]
    spawn_key: tuple[int, ...] = ()
    everywhere: bool = False

    @classmethod
    def of(cls, seed: object, *, everywhere: bool = False) -> Seed | None:
        """Take what users give for a seed; True stands for one drawn now, None for none.

        Raises `ConfigurationError`.
        """
        if seed is None or seed is False:
            return cls.of(seed=True, everywhere=True) if everywhere else None
        if seed is True:
            return cls(secrets.randbits(128), everywhere=everywhere)
        if (number := _whole(seed)) is not None:
            return cls(number, everywhere=everywhere)
        if isinstance(seed, (list, tuple)):
            parts = [part for part in map(_whole, seed) if part is not None]
            if len(parts) == len(seed):
                return cls(tuple(parts), everywhere=everywhere)
        entropy = getattr(seed, "entropy", None)
        if entropy is not None:
            return cls(
                entropy if isinstance(entropy, int) else tuple(entropy),
                tuple(getattr(seed, "spawn_key", ())),
                everywhere,
            )
        raise ConfigurationError(
            f"seed={seed!r} is no seed",
            hint="Give a whole number from 0, several of them, a numpy SeedSequence, or True for "
            "one drawn now.",
        )


def _whole(given: object) -> int | None:
    """A whole number from 0, of Python's or numpy's; None for anything else."""
    try:
        number = operator.index(given)  # type: ignore[arg-type] # a TypeError says that it is none
    except TypeError:
        return None
    return number if number >= 0 else None


@dataclass(frozen=True)
class SeededResult:
    """The result of a task, and which of the global generators it drew from without their being seeded."""

    index: tuple[int, ...]
    value: Any
    unseeded: tuple[str, ...] = ()


class SeededResultReader:
    """Takes results out of what came with them; warns, once, of a task whose numbers the seed does not decide."""

    def __init__(self) -> None:
        """It has not warned yet."""
        self._told = False

    def open(self, result: Any, stacklevel: int) -> Any:
        """Give the task's own result.

        ``stacklevel`` is that of the caller, as `warnings.warn` counts it.
        """
        if not isinstance(result, SeededResult):
            return result
        if result.unseeded and not self._told:
            self._told = True
            warnings.warn(
                f"task {shown(result.index)} drew from {' and '.join(result.unseeded)}, which "
                "seed= does not seed, so its numbers are not "
                "reproducible: draw from an argument named rng, or give seed_everywhere=True",
                stacklevel=stacklevel + 1,
            )
        return result.value


def shown(index: tuple[int, ...]) -> str:
    """A task's index as people write it: a number, or several where loops are nested."""
    return str(index[0]) if len(index) == 1 else str(index)


class Seeded:
    """A function called with its task's index before its arguments, and with ``rng`` if it ``takes_rng``; gives a `SeededResult`."""

    def __init__(self, function: Callable[..., Any], seed: Seed, *, takes_rng: bool) -> None:
        """All of it travels."""
        self._function = function
        self._seed = seed
        self._takes_rng = takes_rng
        self.__qualname__ = getattr(function, "__qualname__", repr(function))

    def __call__(self, index: tuple[int, ...], *args: Any, **kwargs: Any) -> SeededResult:
        """Call the function. Raises ImportError if a stream is wanted where there is no numpy."""
        if self._takes_rng or self._seed.everywhere:
            import numpy as np  # noqa: PLC0415 - only workers that are to draw need it

            sequence = np.random.SeedSequence(
                self._seed.entropy, spawn_key=(*self._seed.spawn_key, *index)
            )
            if self._takes_rng:
                kwargs["rng"] = np.random.default_rng(sequence)
            if self._seed.everywhere:
                # It is what the user's code draws from.
                np.random.seed(sequence.generate_state(4))  # noqa: NPY002
                random.seed(sequence.generate_state(8).tobytes())
                return SeededResult(index, self._function(*args, **kwargs))
        before = _states()
        value = self._function(*args, **kwargs)
        after = _states()
        return SeededResult(
            index,
            value,
            tuple(name for name in after if name in before and after[name] != before[name]),
        )


def _states() -> dict[str, object]:
    states: dict[str, object] = {"random": random.getstate()}
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random:
        kind, key, at, *rest = numpy_random.get_state()
        states["numpy.random"] = (kind, key.tobytes(), at, rest)
    return states
