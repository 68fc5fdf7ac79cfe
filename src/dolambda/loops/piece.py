"""The unit in which a backend returns the results of a plain loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Piece:
    """The values of consecutive tasks, or the error of one.

    Attributes:
        start: Number of the first task.
        values: Their values.
        error: The error of the one task. None if ``values`` is set.
        arguments: The arguments of the task that failed.
    """

    start: int
    values: list[Any]
    error: BaseException | None = None
    arguments: tuple[Any, ...] = ()
