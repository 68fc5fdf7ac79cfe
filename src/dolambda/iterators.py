"""R's iterators and itertools packages, where Python's own itertools lack something: what one gives to `foreach`.

On entry: a sequence, an array, a data frame, a file, a number or another iterable. On leaving: an iterator over its parts, in
R's order and of R's sizes. All are lazy: an argument is checked when the function is called, but a part is made only when it
is asked for, so that sources may be endless. Positions and axes count from 0. Parts of arrays, but for `isplit`'s, are views
of them: R copies.

Arrays are whatever has a ``shape`` and can be sliced (numpy's, scipy's sparse ones), data frames what has ``iloc`` besides
(pandas'). This module imports neither, but for `iread_table`.

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
    """Count in several dimensions, the first fastest: R's `icountn`, from 0. None at all if one of ``dims`` is 0."""
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
    """Divide ``n`` into whole numbers that differ by 1 at most, the larger first: R's `idiv`.

    Into ``chunks`` of them (fewer if ``n`` is less), or into as few as let none be above ``chunksize``; one of the two is
    needed. 10 by a chunksize of 4 gives 4, 3, 3: sizes are balanced, as `ichunk`'s are not. An ``n`` of 0 gives none.
    """
    return map(len, isplit_indices(n, chunks=chunks, chunksize=chunksize))


def isplit_indices(
    n: int, *, chunks: int | None = None, chunksize: int | None = None
) -> Iterator[range]:
    """Split the positions 0 to ``n`` - 1 into ranges of `idiv`'s sizes: R's `isplitIndices`, which gives vectors from 1."""
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
        stop = (
            start - (start - n) // left
        )  # what remains, divided by the parts that remain, and rounded up
        yield range(start, stop)
        start = stop


def isplit_vector(
    sequence: _X, *, chunks: int | None = None, chunksize: int | None = None
) -> Iterator[_X]:
    """Split a list, string, 1-D array, Series or other sequence into slices of `idiv`'s sizes: R's `isplitVector`."""
    n = _length(sequence, "isplit_vector: sequence", dims=1)
    place: Any = getattr(sequence, "iloc", sequence)
    return (
        place[part.start : part.stop]
        for part in isplit_indices(n, chunks=chunks, chunksize=chunksize)
    )


def ichunk(iterable: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Take ``size`` items at a time into lists, of which the last may be shorter: R's `ichunk`."""
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
    """Repeat: every item ``each`` times, then all of it ``times`` over or round and round to ``length`` items: R's `irep`.

    ``times`` and ``length`` exclude each other; what is to come again is held in memory. A vector of R's ``times`` is
    ``itertools.chain.from_iterable(map(itertools.repeat, x, times))``.
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
    """An iterator that can be asked whether it goes on: R's `ihasNext`."""

    def __init__(self, iterable: Iterable[_T]) -> None:
        """Nothing is taken from ``iterable`` yet."""
        self._items = iter(iterable)
        self._ahead: list[_T] = []

    def has_next(self) -> bool:
        """Tell whether `next` would give something: R's `hasNext`. One item is taken ahead to know."""
        if not self._ahead:
            self._ahead.extend(itertools.islice(self._items, 1))
        return bool(self._ahead)

    def peek(self) -> _T:
        """Give what `next` will give, and keep it. Raises StopIteration where `next` would."""
        if self.has_next():
            return self._ahead[0]
        raise StopIteration

    def __next__(self) -> _T:
        """Give the next item."""
        return self._ahead.pop() if self._ahead else next(self._items)


def isplit_rows(x: _X, *, chunks: int | None = None, chunksize: int | None = None) -> Iterator[_X]:
    """Split a 2-D array or a frame into blocks of rows, as many in each as `idiv` says: R's `isplitRows`."""
    rows, _ = _shape(x, "isplit_rows")
    return (
        _part(x, slice(part.start, part.stop), _ALL)
        for part in isplit_indices(rows, chunks=chunks, chunksize=chunksize)
    )


def isplit_cols(x: _X, *, chunks: int | None = None, chunksize: int | None = None) -> Iterator[_X]:
    """Split a 2-D array or a frame into blocks of columns, as many in each as `idiv` says: R's `isplitCols`."""
    _, columns = _shape(x, "isplit_cols")
    return (
        _part(x, _ALL, slice(part.start, part.stop))
        for part in isplit_indices(columns, chunks=chunks, chunksize=chunksize)
    )


def by_row(x: _X, chunksize: int = 1) -> Iterator[_X]:
    """Take ``chunksize`` rows at a time, the last block having what is left: R's `iter(x, by="row")`.

    From a 2-D array 2-D blocks, of 1 row too; from a frame frames.
    """
    rows, _ = _shape(x, "by_row")
    step = _whole("chunksize=", chunksize, 1)
    return (_part(x, slice(start, start + step), _ALL) for start in range(0, rows, step))


def by_column(x: Any, chunksize: int = 1) -> Iterator[Any]:
    """Take ``chunksize`` columns at a time, the last block having what is left: R's `iter(x, by="column")`.

    From a 2-D array 2-D blocks, of 1 column too; from a frame a Series each, as R gives a vector, or frames if ``chunksize``
    is above 1.
    """
    _, columns = _shape(x, "by_column")
    step = _whole("chunksize=", chunksize, 1)
    if step == 1 and hasattr(x, "iloc"):
        return (x.iloc[:, column] for column in range(columns))
    return (_part(x, _ALL, slice(start, start + step)) for start in range(0, columns, step))


def by_cell(x: Any) -> Iterator[Any]:
    """Take an array's or a frame's cells one by one, down the columns: R's `iter(x, by="cell")`."""
    return (_part(x, *at) for at in icountn(_shape(x, "by_cell")))


def iapply(array: Any, axes: int | Iterable[int]) -> Iterator[Any]:
    """Take the slices at each position along ``axes``, the first of them fastest: R's `iapply`, and `apply` of such margins.

    ``axes`` count from 0, or from -1 backwards. A slice has the other axes, in their order; over all axes it is a cell.
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
            hint="Axes count from 0: R's margin 1 is axis 0. Of lists numpy.asarray makes an array.",
        )
    return _slices(array, [axis % len(shape) for axis in given], shape)


def _slices(array: Any, axes: list[int], shape: tuple[int, ...]) -> Iterator[Any]:
    for at in icountn(shape[axis] for axis in axes):
        index: list[Any] = [_ALL] * len(shape)
        for axis, position in zip(axes, at, strict=True):
            index[axis] = position
        yield _part(array, *index)


class Group(NamedTuple):
    """What `isplit` gives."""

    value: Any
    """The entries of the group: an array or a frame if they came from one, else a list."""
    key: tuple[Any, ...]
    """The group's level of each factor."""


def isplit(x: Any, groups: Any, *, drop: bool = False) -> Iterator[Group]:
    """Split by one factor or several, the first fastest: R's `isplit`, and the order of `split`.

    ``x`` is a sequence, a Series, or an array or a frame, of which rows are taken. ``groups`` is one factor: anything of as
    many entries as ``x`` has; or several: a list of lists, arrays or Series, or a frame of them (tuples would be keys of one
    factor). Levels are the sorted entries, or the categories of a pandas Categorical in their order, unused ones too. Where
    nothing has a combination of levels the group is empty, and left out if ``drop``. Entries in a missing group (None, NaN,
    NA) are in none.
    """
    n = _length(x, "isplit: x")
    factors = [_factor(entries) for entries in _factors(groups)]
    for number, (_, codes) in enumerate(factors):
        if len(codes) != n:
            which = f"groups[{number}]" if len(factors) > 1 else "groups"
            raise ConfigurationError(
                f"isplit: {which} has {len(codes)} entries, and x has {n}",
                hint="Give one entry for each of x. Several factors are a list of lists, arrays or Series.",
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
        return value is None or bool(value != value)  # noqa: PLR0124 - NaN and NaT differ from themselves
    except TypeError:  # pandas' NA answers NA, which is neither true nor false
        return True


def iread_lines(
    path: str | os.PathLike[str], n: int = 1, *, encoding: str = "utf-8"
) -> Iterator[list[str]]:
    """Read a text file ``n`` lines at a time, without their ends: R's `ireadLines`. The last list may be shorter."""
    return _lines(_file(path), _whole("n=", n, 1), encoding)


def _lines(file: Path, n: int, encoding: str) -> Iterator[list[str]]:
    with file.open(encoding=encoding) as lines:
        yield from ichunk((line.removesuffix("\n") for line in lines), n)


def iread_table(path: str | os.PathLike[str], nrows: int, **options: Any) -> Iterator[Any]:
    """Read a table ``nrows`` rows at a time into pandas frames: R's `iread.table(header=TRUE)`.

    ``options`` are those of `pandas.read_csv`, but columns are separated by white space; the first line has their names unless
    ``header=None``. The index counts on from frame to frame. Types are made out for each frame by itself, as R does: give
    ``dtype=`` where that may mislead.
    """
    rows, file = _whole("nrows=", nrows, 1), _file(path)
    try:
        import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415 - the user's own, or absent
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
    """Write all items to a file, for `ireplay`: R's `irecord`. What is there is replaced.

    Each is written when it comes, so that those before an error are kept. Raises NotPicklableError for one that cannot be.
    """
    with Path(path).open("wb") as file:
        for number, item in enumerate(iterable):
            try:
                pickled = cloudpickle.dumps(item)
            except Exception as error:  # any class may raise anything from its __reduce__
                raise NotPicklableError(
                    f"irecord: item {number}, {_kind(item)}, cannot be pickled ({type(error).__name__}: {error})",
                    hint="Record what it is made from instead.",
                ) from error
            file.write(pickled)


def ireplay(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Give the items of a file that `irecord` wrote, one at a time: R's `ireplay`.

    A recording is a series of pickles: it runs what its writer put there. Play your own only, on the Python and the package
    versions that recorded it. Raises ConfigurationError, on reaching it, where the file was cut off or is no recording.
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
    """Draw ``count`` times, or for ever: R's `irnorm`, `irunif`, `irpois`, `isample` and their like.

    ``draw`` is a method of a numpy Generator, called as ``draw(size=size, **parameters)``: ``irandom(rng.normal, 2, loc=5.0)``.
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
        hint="Give two dimensions: numpy.asarray(x) for lists, x[:, None] for a vector; iapply for more.",
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
