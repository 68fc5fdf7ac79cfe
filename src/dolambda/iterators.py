"""R's iterators and itertools packages, where Python's itertools lack something: what `foreach` goes over.

**Input:** a sequence, an array, a data frame, a file, a number or another iterable. **Output:** an
iterator over its parts, in R's order and of R's sizes.

All are lazy: arguments are checked when the function is called, but a part is made only when it is
asked for, so sources may be endless. Positions and axes count from 0. Parts of arrays are views of
them, except those of `isplit`. R copies.

Arrays are objects that have a ``shape`` and can be sliced (of numpy, sparse ones of scipy). Data
frames also have ``iloc`` (of pandas). This module imports neither, except in `iread_table`. ::

    R                                        Python
    icountn, idiv, iapply, isplit, irep      the same
    isplitIndices, isplitVector              isplit_indices, isplit_vector
    isplitRows, isplitCols                   isplit_rows, isplit_cols
    iter(x, by="row", "column", "cell")      by_row(x), by_column(x), by_cell(x)
    ichunk                                   ichunk; itertools.batched, from Python 3.12, gives tuples
    ireadLines, iread.table                  iread_lines, iread_table
    irecord, ireplay                         the same
    ihasNext, hasNext(it)                    Peekable, it.has_next()
    irnorm, irunif, irbinom, isample ...     irandom(rng.normal, n), irandom(rng.choice, n, a=...)
    icount(n), icount()                      range(n), itertools.count()
    iter(f), of no or of one parameter       iter(f, object()), map(f, itertools.count())
    iter(x, recycle=TRUE), recycle(x)        itertools.cycle(x)
    recycle(x, times)                        irep(x, times=times)
    iter(x, checkFunc=f), ifilter(f, x)      filter(f, x)
    ifilterfalse(f, x)                       itertools.filterfalse(f, x)
    ilimit(x, n)                             itertools.islice(x, n)
    ibreak(x, f), timeout(x, seconds)        itertools.takewhile(lambda _: not f(), x)
    chain, product                           itertools.chain, itertools.product: the same orders
    enumerate, izip                          enumerate, zip
    irepeat(value, times)                    itertools.repeat(value, times)
    iRNGStream(seed)                         map(numpy.random.default_rng, numpy.random.SeedSequence(seed).spawn(n))
"""

from __future__ import annotations

import itertools
import math
import operator
import pickle
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, TypeVar, cast

import cloudpickle

from dolambda.errors import ConfigurationError, NotPicklableError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = [
    "Group",
    "Peekable",
    "by_cell",
    "by_column",
    "by_row",
    "iapply",
    "ichunk",
    "icountn",
    "idiv",
    "irandom",
    "iread_lines",
    "iread_table",
    "irecord",
    "irep",
    "ireplay",
    "isplit",
    "isplit_cols",
    "isplit_indices",
    "isplit_rows",
    "isplit_vector",
]

_T = TypeVar("_T")
_X = TypeVar("_X")  # a slice of a sequence, an array or a frame is one again

_ALL = slice(None)


def icountn(dims: Iterable[int]) -> Iterator[tuple[int, ...]]:
    """Count in several dimensions, the first fastest: R's `icountn`, from 0.

    Args:
        dims: Length of each dimension. If one is 0, nothing is counted.

    Returns:
        The positions, as tuples.

    Example:
        >>> list(icountn([2, 2]))
        [(0, 0), (1, 0), (0, 1), (1, 1)]
    """
    limits = [_whole("dims: ", dim, 0) for dim in dims]
    if not limits:
        raise ConfigurationError(
            "icountn: dims is empty",
            hint="Give the length of at least one dimension: icountn([2, 3]).",
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

    Example:
        >>> list(isplit_indices(5, chunks=2))
        [range(0, 3), range(3, 5)]
    """
    whole = _whole("n=", n, 0)
    if chunks is not None and chunksize is None:
        return _ranges(whole, _whole("chunks=", chunks, 1))
    if chunksize is not None and chunks is None:
        return _ranges(whole, -(-whole // _whole("chunksize=", chunksize, 1)))
    raise ConfigurationError(
        f"chunks={chunks!r} and chunksize={chunksize!r}: exactly one of them is needed",
        hint="Give chunks= for a number of parts, or chunksize= for their greatest size.",
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

    Example:
        >>> list(isplit_vector("abcde", chunks=2))
        ['abc', 'de']
    """
    n = _length(sequence, "isplit_vector: sequence", dims=1)
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

    Example:
        >>> list(ichunk(range(5), 2))
        [[0, 1], [2, 3], [4]]
    """
    return _chunked(iter(iterable), _whole("size=", size, 1))


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

    Example:
        >>> "".join(irep("ab", each=2, times=2))
        'aabbaabb'
    """
    if times is not None and length is not None:
        raise ConfigurationError(
            f"irep: both times={times!r} and length={length!r} say where to end",
            hint="Leave one of them out; R ignores times= then.",
        )
    copies = 1 if each is None else _whole("each=", each, 0)
    items = itertools.chain.from_iterable(map(itertools.repeat, iterable, itertools.repeat(copies)))
    if length is not None:
        return itertools.islice(itertools.cycle(items), _whole("length=", length, 0))
    return _repeated(items, 1 if times is None else _whole("times=", times, 0))


def _repeated(items: Iterator[_T], times: int) -> Iterator[_T]:
    if times < 2:  # noqa: PLR2004 - nothing comes again, nothing is held
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


def isplit_rows(x: _X, *, chunks: int | None = None, chunksize: int | None = None) -> Iterator[_X]:
    """Split a matrix or data frame into blocks of rows: R's `isplitRows`.

    Args:
        x: A 2-D array or a data frame.
        chunks: Number of parts; fewer if there is less to split.
        chunksize: Largest size of a part. Pass either this or ``chunks``.

    Returns:
        Blocks with as many rows as `idiv` returns.
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
    """
    rows, _ = _shape(x, "by_row")
    step = _whole("chunksize=", chunksize, 1)
    return (_part(x, slice(start, start + step), _ALL) for start in range(0, rows, step))


def by_column(x: Any, chunksize: int = 1) -> Iterator[Any]:
    """Go over the columns of a matrix or data frame: R's `iter(x, by="column")`.

    Args:
        x: A 2-D array or a data frame.
        chunksize: Number of columns at a time. The last block may have fewer.

    Returns:
        2-D blocks of an array, also for one column. Of a data frame a Series for each
        column, as R has vectors, or data frames if ``chunksize`` is above 1.
    """
    _, columns = _shape(x, "by_column")
    step = _whole("chunksize=", chunksize, 1)
    if step == 1 and hasattr(x, "iloc"):
        return (x.iloc[:, column] for column in range(columns))
    return (_part(x, _ALL, slice(start, start + step)) for start in range(0, columns, step))


def by_cell(x: Any) -> Iterator[Any]:
    """Go over the cells of a matrix or data frame, down the columns: R's `iter(x, by="cell")`.

    Args:
        x: A 2-D array or a data frame.

    Returns:
        The cells.
    """
    return (_part(x, *at) for at in icountn(_shape(x, "by_cell")))


def iapply(array: Any, axes: int | Iterable[int]) -> Iterator[Any]:
    """Go over the slices along axes of an array, the first axis fastest: R's `iapply`.

    Args:
        array: An array of any number of dimensions.
        axes: An axis, or several. They count from 0, or from -1 backwards.

    Returns:
        Slices with the other axes, in their order. Over all axes, the cells.
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
            f"iapply: axes={axes!r} are not different axes of array, which is {_kind(array)}",
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


class Group(NamedTuple):
    """A group of entries, as `isplit` returns it."""

    value: Any
    """The entries of the group: an array or a frame if they came from one, else a list."""
    key: tuple[Any, ...]
    """The group's level of each factor."""


def isplit(x: Any, groups: Any, *, drop: bool = False) -> Iterator[Group]:
    """Split by one factor or several, the first fastest: R's `isplit`, in the order of `split`.

    Args:
        x: A sequence, a Series, or an array or data frame, whose rows are split.
        groups: One factor, with as many entries as ``x``. Or several: a list of lists, arrays or
            Series, or a data frame of them. Tuples are keys of one factor. Levels are the sorted
            entries, or the categories of a pandas Categorical in their order, including unused
            ones.
        drop: Leave out combinations of levels that have no entry. Otherwise their group is empty.

    Returns:
        The groups. Entries whose group is missing (None, NaN, NA) are in none.

    Example:
        >>> [group.value for group in isplit([1, 2, 3], ["b", "a", "b"])]
        [[2], [1, 3]]
    """
    n = _length(x, "isplit: x")
    factors = [_factor(entries) for entries in _factors(groups)]
    for number, (_, codes) in enumerate(factors):
        if len(codes) != n:
            which = f"groups[{number}]" if len(factors) > 1 else "groups"
            raise ConfigurationError(
                f"isplit: {which} has {len(codes)} entries, and x has {n}",
                hint="Give one entry for each of x. Several factors are a list of lists, arrays "
                "or Series.",
            )
    return _grouped(
        x,
        [levels for levels, _ in factors],
        list(zip(*(codes for _, codes in factors), strict=True)),
        drop=drop,
    )


def _grouped(
    x: Any, levels: list[list[Any]], codes: list[tuple[int, ...]], *, drop: bool
) -> Iterator[Group]:
    members: dict[tuple[int, ...], list[int]] = {}
    for position, code in enumerate(codes):
        if min(code) >= 0:
            members.setdefault(code, []).append(position)
    for code in sorted(members, key=lambda code: code[::-1]) if drop else icountn(map(len, levels)):
        at = members.get(code, [])
        place = getattr(x, "iloc", x)
        value = place[at] if hasattr(x, "shape") else [x[position] for position in at]
        yield Group(value, tuple(level[number] for level, number in zip(levels, code, strict=True)))


def _factors(groups: Any) -> list[Any]:
    if hasattr(groups, "columns"):
        return [column for _, column in groups.items()]
    # A key can be hashed; lists, arrays, Series and Categoricals cannot.
    if (
        isinstance(groups, (list, tuple))
        and groups
        and not any(isinstance(entry, Hashable) for entry in groups)
    ):
        return list(groups)
    return [groups]


def _factor(entries: Any) -> tuple[list[Any], list[int]]:
    """Levels, and each entry's place among them: -1 for a missing one."""
    categorical = getattr(entries, "cat", entries)
    if hasattr(categorical, "categories"):
        return list(categorical.categories), list(categorical.codes)
    # numpy's scalars are poor keys to look at; but dates would become plain numbers.
    plain = getattr(getattr(entries, "dtype", None), "kind", "M") not in "mM"
    try:
        values = entries.tolist() if plain else list(entries)
        levels = sorted({value for value in values if not _missing(value)})
        places = {level: place for place, level in enumerate(levels)}
        return levels, [places.get(value, -1) for value in values]
    except TypeError as error:
        raise ConfigurationError(
            f"isplit: groups cannot be sorted into levels ({error})",
            hint="Give entries of one type, or pandas.Categorical(groups, categories=...).",
        ) from error


def _missing(value: Any) -> bool:
    try:
        # NaN and NaT differ from themselves.
        return value is None or bool(value != value)  # noqa: PLR0124
    except TypeError:  # pandas' NA answers NA, which is neither true nor false
        return True


def iread_lines(
    path: str | os.PathLike[str], n: int = 1, *, encoding: str = "utf-8"
) -> Iterator[list[str]]:
    """Read lines of a text file: R's `ireadLines`.

    Args:
        path: The file.
        n: Number of lines at a time.
        encoding: Encoding of the file.

    Returns:
        Lists of lines without their ends. The last list may be shorter.
    """
    return _lines(_file(path), _whole("n=", n, 1), encoding)


def _lines(file: Path, n: int, encoding: str) -> Iterator[list[str]]:
    with file.open(encoding=encoding) as lines:
        yield from ichunk((line.removesuffix("\n") for line in lines), n)


def iread_table(path: str | os.PathLike[str], nrows: int, **options: Any) -> Iterator[Any]:
    """Read rows of a table into pandas data frames: R's `iread.table(header=TRUE)`.

    Args:
        path: The file.
        nrows: Number of rows at a time.
        **options: Options of `pandas.read_csv`. Columns are separated by white space, unless
            ``sep=`` says otherwise. The first line has the names, unless ``header=None``.

    Returns:
        Data frames, whose index continues from one to the next. Each has its own column
        types, as in R: pass ``dtype=`` where that may mislead.
    """
    rows, file = _whole("nrows=", nrows, 1), _file(path)
    try:
        # The user's own, or absent.
        import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "iread_table: pandas is not installed",
            hint="Install it (pip install pandas), or use iread_lines.",
        ) from error
    if "chunksize" in options:
        raise ConfigurationError(
            "iread_table: nrows= and chunksize= are the same", hint="Leave chunksize= out."
        )
    return _frames(pd, file, {"sep": r"\s+", **options, "chunksize": rows})


def _frames(pandas: Any, file: Path, options: dict[str, Any]) -> Iterator[Any]:
    try:
        with pandas.read_csv(file, **options) as frames:
            yield from filter(len, frames)  # a header alone makes an empty frame
    except pandas.errors.EmptyDataError:
        return


def irecord(path: str | os.PathLike[str], iterable: Iterable[object]) -> None:
    """Write all items to a file, for `ireplay`: R's `irecord`.

    Args:
        path: The file. An existing one is replaced.
        iterable: Items. Each is written when it arrives, so those before an error are kept.

    Raises:
        NotPicklableError: An item cannot be pickled.
    """
    with Path(path).open("wb") as file:
        for number, item in enumerate(iterable):
            try:
                pickled = cloudpickle.dumps(item)
            except Exception as error:  # any class may raise anything from its __reduce__
                raise NotPicklableError(
                    f"irecord: item {number}, {_kind(item)}, cannot be pickled "
                    f"({type(error).__name__}: {error})",
                    hint="Record what it is made from instead.",
                ) from error
            file.write(pickled)


def ireplay(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Read the items of a file that `irecord` wrote: R's `ireplay`.

    A recording is a series of pickles, so reading it runs what its writer put there. Only read your
    own, on the Python and the package versions that recorded it.

    Args:
        path: The file.

    Returns:
        The items, one at a time.

    Raises:
        ConfigurationError: The file is not a recording, or it was cut off.
    """
    return _replayed(_file(path))


def _replayed(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for number in itertools.count():
            if not file.peek(1):
                return
            try:
                item = pickle.load(file)  # noqa: S301 - the caller's own recording: see ireplay
            except (pickle.UnpicklingError, EOFError) as error:
                raise ConfigurationError(
                    f"ireplay: {path} is not a recording, or was cut off in item {number}",
                    hint="Record it again with irecord.",
                ) from error
            yield item


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
    """
    if not callable(cast("object", draw)):
        raise ConfigurationError(
            f"irandom: draw={draw!r} is not a function",
            hint="Give a method of a generator without calling it: irandom(rng.normal, 2).",
        )
    turns: Iterable[object] = (
        itertools.repeat(None) if count is None else range(_whole("count=", count, 0))
    )
    return (draw(size=size, **parameters) for _ in turns)


def _whole(name: str, value: object, least: int) -> int:
    whole = operator.index(value) if isinstance(value, SupportsIndex) else least - 1
    if whole < least:
        raise ConfigurationError(
            f"{name}{value!r} is not a whole number of {least} or more",
            hint=f"Give an int, {least} at the least.",
        )
    return whole


def _length(x: Any, what: str, dims: float = math.inf) -> int:
    shape = getattr(x, "shape", None)
    if isinstance(shape, tuple) and 0 < len(shape) <= dims:
        return int(shape[0])
    if (
        shape is None
        and hasattr(x, "__len__")
        and hasattr(x, "__getitem__")
        and not isinstance(x, Mapping)
    ):
        return len(x)
    raise ConfigurationError(
        f"{what} is {_kind(x)}, whose entries cannot be taken by position",
        hint="Give a sequence or a vector: list(x). ichunk takes iterators, isplit_rows matrices.",
    )


def _shape(x: Any, who: str) -> tuple[int, int]:
    shape = getattr(x, "shape", None)
    if isinstance(shape, tuple) and len(shape) == 2:  # noqa: PLR2004 - rows and columns
        return shape
    raise ConfigurationError(
        f"{who}: x is {_kind(x)}, not a matrix or a data frame",
        hint="Give two dimensions: numpy.asarray(x) for lists, x[:, None] for a vector; iapply "
        "for more.",
    )


def _kind(x: Any) -> str:
    shape = getattr(x, "shape", None)
    return f"of type {type(x).__name__}" + (
        f" and of shape {shape}" if isinstance(shape, tuple) else ""
    )


def _part(x: Any, *index: Any) -> Any:
    return getattr(x, "iloc", x)[index]


def _file(path: str | os.PathLike[str]) -> Path:
    file = Path(path)
    if not file.exists() or file.is_dir():
        raise ConfigurationError(
            f"path={str(path)!r} is {'a directory' if file.is_dir() else 'not there'}",
            hint="Give the path of a file that can be read.",
        )
    return file
