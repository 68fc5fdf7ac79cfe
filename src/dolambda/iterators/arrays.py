"""Parts of arrays and data frames.

**Input:** objects with a shape. **Output:** rows, columns, cells, slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from dolambda.errors import ConfigurationError
from dolambda.iterators.checks import kind, whole
from dolambda.iterators.counting import icountn, isplit_indices

_X = TypeVar("_X")  # a slice of a sequence, an array or a frame has the same type

_ALL = slice(None)


def isplit_rows(x: _X, *, chunks: int | None = None, chunksize: int | None = None) -> Iterator[_X]:
    """Split a matrix or data frame into blocks of rows: R's `isplitRows`.

    Args:
        x: A 2-D array or a data frame.
        chunks: Number of parts; fewer if there is less to split.
        chunksize: Largest size of a part. Pass either this or ``chunks``.

    Returns:
        Blocks with as many rows as `idiv` returns.

    Raises:
        ConfigurationError: ``x`` does not have two dimensions, or not exactly one of ``chunks`` and
            ``chunksize`` is passed.

    Example:
        >>> [part.tolist() for part in isplit_rows(np.eye(3, dtype=int), chunks=2)]
        [[[1, 0, 0], [0, 1, 0]], [[0, 0, 1]]]
    """
    rows, _ = _shape(x, "isplit_rows")
    return (
        _part(x, slice(part.start, part.stop), _ALL)
        for part in isplit_indices(rows, chunks=chunks, chunksize=chunksize)
    )


def isplit_cols(x: _X, *, chunks: int | None = None, chunksize: int | None = None) -> Iterator[_X]:
    """Split a matrix or data frame into blocks of columns: R's `isplitCols`.

    Args:
        x: A 2-D array or a data frame.
        chunks: Number of parts; fewer if there is less to split.
        chunksize: Largest size of a part. Pass either this or ``chunks``.

    Returns:
        Blocks with as many columns as `idiv` returns.

    Raises:
        ConfigurationError: ``x`` does not have two dimensions, or not exactly one of ``chunks`` and
            ``chunksize`` is passed.

    Example:
        >>> [part.shape for part in isplit_cols(np.zeros((2, 5)), chunksize=3)]
        [(2, 3), (2, 2)]
    """
    _, columns = _shape(x, "isplit_cols")
    return (
        _part(x, _ALL, slice(part.start, part.stop))
        for part in isplit_indices(columns, chunks=chunks, chunksize=chunksize)
    )


def by_row(x: _X, chunksize: int = 1) -> Iterator[_X]:
    """Go over the rows of a matrix or data frame: R's `iter(x, by="row")`.

    Args:
        x: A 2-D array or a data frame.
        chunksize: Number of rows at a time. The last block may have fewer.

    Returns:
        2-D blocks of an array, also for one row, or data frames.

    Raises:
        ConfigurationError: ``x`` does not have two dimensions, or ``chunksize`` is below 1.

    Example:
        >>> [row.tolist() for row in by_row(np.array([[1, 2], [3, 4]]))]
        [[[1, 2]], [[3, 4]]]
    """
    rows, _ = _shape(x, "by_row")
    step = whole("chunksize=", chunksize, 1)
    return (_part(x, slice(start, start + step), _ALL) for start in range(0, rows, step))


def by_column(x: Any, chunksize: int = 1) -> Iterator[Any]:
    """Go over the columns of a matrix or data frame: R's `iter(x, by="column")`.

    Args:
        x: A 2-D array or a data frame.
        chunksize: Number of columns at a time. The last block may have fewer.

    Returns:
        2-D blocks of an array, also for one column. Of a data frame a Series for each
        column, as R has vectors, or data frames if ``chunksize`` is above 1.

    Raises:
        ConfigurationError: ``x`` does not have two dimensions, or ``chunksize`` is below 1.

    Example:
        >>> [column.tolist() for column in by_column(np.array([[1, 2], [3, 4]]))]
        [[[1], [3]], [[2], [4]]]
    """
    _, columns = _shape(x, "by_column")
    step = whole("chunksize=", chunksize, 1)
    if step == 1 and hasattr(x, "iloc"):
        return (x.iloc[:, column] for column in range(columns))
    return (_part(x, _ALL, slice(start, start + step)) for start in range(0, columns, step))


def by_cell(x: Any) -> Iterator[Any]:
    """Go over the cells of a matrix or data frame, down the columns: R's `iter(x, by="cell")`.

    Args:
        x: A 2-D array or a data frame.

    Returns:
        The cells.

    Raises:
        ConfigurationError: ``x`` does not have two dimensions.

    Example:
        >>> [int(cell) for cell in by_cell(np.array([[1, 2], [3, 4]]))]
        [1, 3, 2, 4]
    """
    return (_part(x, *at) for at in icountn(_shape(x, "by_cell")))


def iapply(array: Any, axes: int | Iterable[int]) -> Iterator[Any]:
    """Go over the slices along axes of an array, the first axis fastest: R's `iapply`.

    Args:
        array: An array of any number of dimensions.
        axes: An axis, or several. They count from 0, or from -1 backwards.

    Returns:
        Slices with the other axes, in their order. Over all axes, the cells.

    Raises:
        ConfigurationError: ``axes`` are not different axes of the array.

    Example:
        >>> [part.tolist() for part in iapply(np.array([[1, 2], [3, 4]]), 1)]
        [[1, 3], [2, 4]]
    """
    shape = getattr(array, "shape", ())
    given = tuple(axes) if isinstance(axes, Iterable) else (axes,)
    known = range(-len(shape), len(shape))
    if (
        not given
        or any(axis not in known for axis in given)
        or len({axis % len(shape) for axis in given}) < len(given)
    ):
        raise ConfigurationError(
            f"iapply: axes={axes!r} are not different axes of array, which is {kind(array)}",
            hint="Axes count from 0: R's margin 1 is axis 0. Of lists numpy.asarray makes an "
            "array.",
        )
    return _slices(array, [axis % len(shape) for axis in given], shape)


def _slices(array: Any, axes: list[int], shape: tuple[int, ...]) -> Iterator[Any]:
    for at in icountn(shape[axis] for axis in axes):
        index: list[Any] = [_ALL] * len(shape)
        for axis, position in zip(axes, at, strict=True):
            index[axis] = position
        yield _part(array, *index)


def _shape(x: Any, who: str) -> tuple[int, int]:
    shape = getattr(x, "shape", None)
    if isinstance(shape, tuple) and len(shape) == 2:  # noqa: PLR2004 - rows and columns
        return shape
    raise ConfigurationError(
        f"{who}: x is {kind(x)}, not a matrix or a data frame",
        hint="Pass two dimensions: numpy.asarray(x) for lists, x[:, None] for a vector; iapply "
        "for more.",
    )


def _part(x: Any, *index: Any) -> Any:
    return getattr(x, "iloc", x)[index]
