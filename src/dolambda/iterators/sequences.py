"""Parts and repetitions of sequences and iterators.

**Input:** any iterable. **Output:** its items in groups, repeated, or with the next one visible.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from dolambda.errors import ConfigurationError
from dolambda.iterators.checks import length, whole
from dolambda.iterators.counting import isplit_indices

_T = TypeVar("_T")
_X = TypeVar("_X")  # a slice of a sequence, an array or a frame has the same type


def isplit_vector(
    sequence: _X, *, chunks: int | None = None, chunksize: int | None = None
) -> Iterator[_X]:
    """Split a sequence into slices: R's `isplitVector`.

    Args:
        sequence: A list, string, 1-D array, Series or other sequence.
        chunks: Number of parts; fewer if there is less to split.
        chunksize: Largest size of a part. Pass either this or ``chunks``.

    Returns:
        Slices with the sizes that `idiv` returns.

    Raises:
        ConfigurationError: ``sequence`` cannot be sliced, or not exactly one of ``chunks`` and
            ``chunksize`` is passed.

    Example:
        >>> list(isplit_vector("abcde", chunks=2))
        ['abc', 'de']
    """
    n = length(sequence, "isplit_vector: sequence", dims=1)
    place: Any = getattr(sequence, "iloc", sequence)
    return (
        place[part.start : part.stop]
        for part in isplit_indices(n, chunks=chunks, chunksize=chunksize)
    )


def ichunk(iterable: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Collect items into lists: R's `ichunk`.

    Args:
        iterable: Items, which may be endless.
        size: Number of items in a list.

    Returns:
        Lists, of which the last may be shorter.

    Raises:
        ConfigurationError: ``size`` is below 1.

    Example:
        >>> list(ichunk(range(5), 2))
        [[0, 1], [2, 3], [4]]
    """
    return _chunked(iter(iterable), whole("size=", size, 1))


def _chunked(items: Iterator[_T], size: int) -> Iterator[list[_T]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def irep(
    iterable: Iterable[_T],
    *,
    times: int | None = None,
    each: int | None = None,
    length: int | None = None,
) -> Iterator[_T]:
    """Repeat items: R's `irep`.

    A vector of R's ``times`` is ``itertools.chain.from_iterable(map(itertools.repeat, x, times))``.

    Args:
        iterable: Items. Those that are repeated later are held in memory.
        times: How often all items are repeated.
        each: How often each item is repeated.
        length: Number of items at which repeating ends. Excludes ``times``.

    Returns:
        The repeated items.

    Raises:
        ConfigurationError: Both ``times`` and ``length`` are passed, or a number is below 0.

    Example:
        >>> "".join(irep("ab", each=2, times=2))
        'aabbaabb'
    """
    if times is not None and length is not None:
        raise ConfigurationError(
            f"irep: both times={times!r} and length={length!r} limit the length",
            hint="Leave one of them out; R ignores times= then.",
        )
    copies = 1 if each is None else whole("each=", each, 0)
    items = itertools.chain.from_iterable(map(itertools.repeat, iterable, itertools.repeat(copies)))
    if length is not None:
        return itertools.islice(itertools.cycle(items), whole("length=", length, 0))
    return _repeated(items, 1 if times is None else whole("times=", times, 0))


def _repeated(items: Iterator[_T], times: int) -> Iterator[_T]:
    if times < 2:  # noqa: PLR2004 - nothing is repeated, so nothing is held
        yield from items if times else ()
        return
    held = []
    for item in items:
        held.append(item)
        yield item
    for _ in range(times - 1):
        yield from held


class Peekable(Iterator[_T]):
    """An iterator that knows whether another item follows: R's `ihasNext`.

    Args:
        iterable: Items. None is taken yet.

    Example:
        >>> items = Peekable("a")
        >>> items.has_next(), next(items), items.has_next()
        (True, 'a', False)
    """

    def __init__(self, iterable: Iterable[_T]) -> None:
        """Take nothing from ``iterable`` yet."""
        self._items = iter(iterable)
        self._ahead: list[_T] = []

    def __repr__(self) -> str:
        """Return one line for the REPL. Nothing is taken."""
        return f"<Peekable: {type(self._items).__name__}>"

    def has_next(self) -> bool:
        """Check whether `next` would return an item: R's `hasNext`. Takes one item ahead.

        Returns:
            True if another item follows.
        """
        if not self._ahead:
            self._ahead.extend(itertools.islice(self._items, 1))
        return bool(self._ahead)

    def peek(self) -> _T:
        """Return the next item without taking it.

        Returns:
            The item that `next` will return.

        Raises:
            StopIteration: No item follows.
        """
        if self.has_next():
            return self._ahead[0]
        raise StopIteration

    def __next__(self) -> _T:
        """Return the next item."""
        return self._ahead.pop() if self._ahead else next(self._items)
