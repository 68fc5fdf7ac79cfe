"""What a backend returns of a plain loop: the values of consecutive tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Piece:
    """The values of consecutive tasks, or the error of one.

    Attributes:
        start: Number of the first task.
        values: Their values.
        error: The error of the one task. None: ``values`` counts.
        arguments: The arguments of the task that failed.
    """

    start: int
    values: list[Any]
    error: BaseException | None = None
    arguments: tuple[Any, ...] = ()
