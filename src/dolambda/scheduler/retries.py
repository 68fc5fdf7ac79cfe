"""The policy for repeating failed tasks.

**Input:** the error of a task. **Output:** a pause in seconds, or None for no repetition.

Tasks are repeated only if the user wants it: a task may have had its effect before it failed. Jobs
that AWS lost are repeated by state.py.
"""

from __future__ import annotations

import inspect
import random
from dataclasses import dataclass

from dolambda.errors import ConfigurationError


@dataclass(frozen=True)
class Retries:
    """A policy for running failed tasks again.

    A task that crashed its worker, ran out of memory or exceeded its time has failed too. With
    ``on=dolambda.errors.LostError`` only those are run again.

    Args:
        times: Largest number of repetitions.
        on: Exception class, or tuple of them, after which a task is run again.
        wait: Seconds before the first repetition. The actual pause is random, from half of it to
            all.
        factor: Factor by which each further pause is longer.
        longest: Longest pause, in seconds.

    Raises:
        ConfigurationError: A value cannot work.

    Example:
        >>> executor = LambdaExecutor(retries=Retries(times=2, on=OSError, wait=0.1))
        >>> executor.submit(abs, -1).result()
        1
        >>> executor.shutdown()
    """

    times: int = 3
    on: type[BaseException] | tuple[type[BaseException], ...] = Exception
    wait: float = 0.5
    factor: float = 2.0
    longest: float = 60.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigurationError: A value cannot work.
        """
        kinds: tuple[object, ...] = self.on if isinstance(self.on, tuple) else (self.on,)
        _check_times("retries: times", self.times)
        if not all(inspect.isclass(kind) and issubclass(kind, BaseException) for kind in kinds):
            raise ConfigurationError(
                f"retries: on={self.on!r} is neither an exception class nor a tuple of them",
                hint="Use the classes after which a task is repeated: Retries(on=(OSError,)).",
            )
        if self.wait < 0 or self.factor < 1 or self.longest < 0:
            raise ConfigurationError(
                f"retries: wait={self.wait!r}, factor={self.factor!r}, longest={self.longest!r} "
                "make no back-off",
                hint="Times are seconds from 0, the factor is 1 or more.",
            )

    @classmethod
    def of(cls, given: int | Retries | None) -> Retries:
        """Return a policy.

        Args:
            given: A number of repetitions, a policy, or None for no repetitions.

        Returns:
            The policy.

        Raises:
            ConfigurationError: The number cannot work.
        """
        if isinstance(given, Retries):
            return given
        times = 0 if given is None else given
        _check_times("retries", times)
        return cls(times=times)

    def pause(self, error: BaseException, before: int) -> float | None:
        """Decide whether a failed task is repeated.

        Args:
            error: The error of the task.
            before: Number of times that the task was repeated before.

        Returns:
            Seconds before it is repeated, or None if it is not.
        """
        if before >= self.times or not isinstance(error, self.on):
            return None
        # For the spread of load, not for secrets.
        return min(self.longest, self.wait * self.factor**before) * random.uniform(0.5, 1)  # noqa: S311


def _check_times(name: str, times: object) -> None:
    if type(times) is not int or times < 0:
        raise ConfigurationError(
            f"{name}={times!r} is not a whole number from 0",
            hint="Use the number of times that a failed task is repeated, such as retries=3.",
        )
