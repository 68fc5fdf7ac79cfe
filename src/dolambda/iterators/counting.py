"""Counters and random draws.

**Input:** numbers. **Output:** iterators over indexes, sizes and draws.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dolambda.errors import ConfigurationError
from dolambda.iterators.checks import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_T = TypeVar("_T")


def icountn(dims: Iterable[int]) -> Iterator[tuple[int, ...]]:
    """Count in several dimensions, the first fastest: R's `icountn`, from 0.

    Args:
        dims: Length of each dimension. If one is 0, nothing is counted.

    Returns:
        The positions, as tuples.

    Raises:
        ConfigurationError: ``dims`` is empty, or a length is below 0.

    Example:
        >>> list(icountn([2, 2]))
        [(0, 0), (1, 0), (0, 1), (1, 1)]
    """
    limits = [whole("dims: ", dim, 0) for dim in dims]
    if not limits:
        raise ConfigurationError(
            "icountn: dims is empty",
            hint="Pass the length of at least one dimension: icountn([2, 3]).",
        )
    return _odometer(limits)


def _odometer(limits: list[int]) -> Iterator[tuple[int, ...]]:
    if 0 in limits:
        return
    at = [0] * len(limits)
    while True:
        yield tuple(at)
        for dim, limit in enumerate(limits):
            at[dim] += 1
            if at[dim] < limit:
                break
            at[dim] = 0
        else:
            return


def idiv(n: int, *, chunks: int | None = None, chunksize: int | None = None) -> Iterator[int]:
    """Divide a number into whole numbers that differ by at most 1, the larger first: R's `idiv`.

    Args:
        n: Number to divide. 0 has no parts.
        chunks: Number of parts; fewer if there is less to split.
        chunksize: Largest size of a part. Pass either this or ``chunks``.

    Returns:
        The parts. Their sizes are balanced, unlike those of `ichunk`.

    Raises:
        ConfigurationError: ``n`` is below 0, or not exactly one of ``chunks`` and ``chunksize`` is
            passed.

    Example:
        >>> list(idiv(10, chunksize=4))
        [4, 3, 3]
    """
    return map(len, isplit_indices(n, chunks=chunks, chunksize=chunksize))


def isplit_indices(
    n: int, *, chunks: int | None = None, chunksize: int | None = None
) -> Iterator[range]:
    """Split the positions 0 to n - 1 into ranges: R's `isplitIndices`, which counts from 1.

    Args:
        n: Number of positions.
        chunks: Number of parts; fewer if there is less to split.
        chunksize: Largest size of a part. Pass either this or ``chunks``.

    Returns:
        Ranges with the sizes that `idiv` returns.

    Raises:
        ConfigurationError: ``n`` is below 0, or not exactly one of ``chunks`` and ``chunksize`` is
            passed.

    Example:
        >>> list(isplit_indices(5, chunks=2))
        [range(0, 3), range(3, 5)]
    """
    count = whole("n=", n, 0)
    if chunks is not None and chunksize is None:
        return _ranges(count, whole("chunks=", chunks, 1))
    if chunksize is not None and chunks is None:
        return _ranges(count, -(-count // whole("chunksize=", chunksize, 1)))
    raise ConfigurationError(
        f"chunks={chunks!r} and chunksize={chunksize!r}: exactly one of them is needed",
        hint="Use chunks= for the number of parts, or chunksize= for their largest size.",
    )


def _ranges(n: int, chunks: int) -> Iterator[range]:
    start = 0
    for left in range(chunks, 0, -1):
        if start == n:
            return
        # What remains, divided by the parts that remain, and rounded up.
        stop = start - (start - n) // left
        yield range(start, stop)
        start = stop


def irandom(
    draw: Callable[..., _T],
    size: int | tuple[int, ...] | None = None,
    *,
    count: int | None = None,
    **parameters: Any,
) -> Iterator[_T]:
    """Draw random numbers: R's `irnorm`, `irunif`, `irpois`, `isample` and the like.

    Args:
        draw: A method of a numpy Generator, such as ``rng.normal``.
        size: Shape of each draw; None for one number.
        count: Number of draws; None for an endless iterator.
        **parameters: Other arguments of ``draw``, such as ``loc=5.0``.

    Returns:
        The draws, each ``draw(size=size, **parameters)``.

    Raises:
        ConfigurationError: ``draw`` is not a function, or ``count`` is below 0.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> [draw.shape for draw in irandom(rng.normal, 3, count=2, loc=5.0)]
        [(3,), (3,)]
    """
    if not callable(cast("object", draw)):
        raise ConfigurationError(
            f"irandom: draw={draw!r} is not a function",
            hint="Pass a method of a generator without calling it: irandom(rng.normal, 2).",
        )
    turns: Iterable[object] = (
        itertools.repeat(None) if count is None else range(whole("count=", count, 0))
    )
    return (draw(size=size, **parameters) for _ in turns)
