"""A random stream for each task.

**Input:** a seed and a task's index. **Output:** the task's result, and the generators it used.

Streams are numpy's: ``SeedSequence(seed, spawn_key=index)`` (O'Neill's design,
numpy.org/doc/stable/reference/random/parallel.html). They depend only on seed and index: not on
backend, number of workers, batch size, attempt or number of tasks.
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
"""Name of the parameter that receives a function's stream."""


def takes_rng(function: Callable[..., Any]) -> bool:
    """Return whether a function has that parameter."""
    try:
        return RNG in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in functions have no signature
        return False


@dataclass(frozen=True)
class Seed:
    """The seed of a loop.

    Attributes:
        entropy: As in numpy's SeedSequence.
        spawn_key: As in numpy's SeedSequence.
        everywhere: Seed `random` and `numpy.random` too.
    """

    entropy: int | tuple[int, ...]
    spawn_key: tuple[int, ...] = ()
    everywhere: bool = False

    @classmethod
    def of(cls, seed: object, *, everywhere: bool = False) -> Seed | None:
        """Return the seed that a user gave. True draws one now, None means no seed.

        Raises:
            ConfigurationError: ``seed`` is not a seed.
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
            f"seed={seed!r} is not a seed",
            hint="Use a whole number from 0, several of them, a numpy SeedSequence, or True to "
            "draw one now.",
        )


def _whole(given: object) -> int | None:
    """Return a whole number from 0, of Python's or numpy's types, or None for anything else."""
    try:
        # A TypeError shows that it is not a number.
        number = operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        return None
    return number if number >= 0 else None


@dataclass(frozen=True)
class SeededResult:
    """The result of a task, and the unseeded global generators that it used."""

    index: tuple[int, ...]
    value: Any
    unseeded: tuple[str, ...] = ()


class SeededResultReader:
    """Reader of seeded results. It warns once of a task whose numbers do not depend on the seed."""

    def __init__(self) -> None:
        """Create a reader that has not warned yet."""
        self._told = False

    def open(self, result: Any, stacklevel: int) -> Any:
        """Return the task's own result.

        ``stacklevel`` is that of the caller, as `warnings.warn` counts it.
        """
        if not isinstance(result, SeededResult):
            return result
        if result.unseeded and not self._told:
            self._told = True
            warnings.warn(
                f"task {shown(result.index)} drew from {' and '.join(result.unseeded)}, which "
                "seed= does not seed, so its numbers are not "
                "reproducible: draw from an argument named rng, or use seed_everywhere=True",
                stacklevel=stacklevel + 1,
            )
        return result.value


def shown(index: tuple[int, ...]) -> str:
    """Return a task's index as text: a number, or several in nested loops."""
    return str(index[0]) if len(index) == 1 else str(index)


class Seeded:
    """A function that is called with its task's index before its arguments.

    It also gets ``rng`` if it ``takes_rng``, and returns a `SeededResult`.
    """

    def __init__(self, function: Callable[..., Any], seed: Seed, *, takes_rng: bool) -> None:
        """Wrap the function. All arguments travel."""
        self._function = function
        self._seed = seed
        self._takes_rng = takes_rng
        self.__qualname__ = getattr(function, "__qualname__", repr(function))

    def __call__(self, index: tuple[int, ...], *args: Any, **kwargs: Any) -> SeededResult:
        """Call the function.

        Raises:
            ImportError: A stream is needed, but numpy is missing.
        """
        if self._takes_rng or self._seed.everywhere:
            import numpy as np  # noqa: PLC0415 - only workers that draw need it

            sequence = np.random.SeedSequence(
                self._seed.entropy, spawn_key=(*self._seed.spawn_key, *index)
            )
            if self._takes_rng:
                kwargs["rng"] = np.random.default_rng(sequence)
            if self._seed.everywhere:
                # The user's code draws from this generator.
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
