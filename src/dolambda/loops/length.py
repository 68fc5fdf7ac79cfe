"""The number of a loop's tasks, as far as it can be known before they are taken.

**Input:** levels of a loop. **Output:** a number, or None.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dolambda.loops.walk import Level

T = TypeVar("T")

_ENDLESS = (itertools.count, itertools.cycle, itertools.repeat)


class Counted(Iterator[T]):
    """An iterator that tells its length to `operator.length_hint`, if it is asked before it begins.

    Args:
        items: The iterator.
        length: Returns its length, or None.
    """

    def __init__(self, items: Iterator[T], length: Callable[[], int | None]) -> None:
        self._items = items
        self._length = length

    def __iter__(self) -> Iterator[T]:  # noqa: PYI034 - see below
        """Return the iterator itself, which is faster."""
        return self._items

    def __next__(self) -> T:
        """Return the next item."""
        return next(self._items)

    def __length_hint__(self) -> Any:
        """Return the number of items; NotImplemented if that cannot be known."""
        length = self._length()
        return NotImplemented if length is None else length


def number_of_tasks(levels: Sequence[Level]) -> int | None:
    """Return the number of tasks of nested loops of which nothing was taken yet."""
    if any(level.conditions for level in levels):
        return None
    steps = [_steps(level) for level in levels]
    known = [one for one in steps if one is not None]
    return math.prod(known) if len(known) == len(steps) else None


def _steps(level: Level) -> int | None:
    """Return the number of steps of one level: as many as its shortest iterable has."""
    lengths = [_length(one) for one in (*level.iterables.values(), *level.unnamed)]
    known = [one for one in lengths if one is not None and one != math.inf]
    return int(min(known)) if known and None not in lengths else None


def _length(iterable: Any) -> float | None:
    from dolambda.known_length import known_length  # noqa: PLC0415 - not on a worker

    if isinstance(iterable, _ENDLESS):
        return math.inf
    if not hasattr(iterable, "__iter__"):  # made by a function of the outer variables
        return None
    return known_length(iterable)
