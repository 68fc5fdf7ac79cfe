"""Iterators over files, and recordings of iterators.

**Input:** a path. **Output:** lines, tables, objects.
"""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from dolambda.errors import ConfigurationError, NotPicklableError
from dolambda.iterators.checks import kind, whole
from dolambda.iterators.sequences import ichunk

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator


def iread_lines(
    path: str | os.PathLike[str], n: int = 1, *, encoding: str = "utf-8"
) -> Iterator[list[str]]:
    r"""Read lines of a text file: R's `ireadLines`.

    Args:
        path: The file.
        n: Number of lines at a time.
        encoding: Encoding of the file.

    Returns:
        Lists of lines without their ends. The last list may be shorter.

    Raises:
        ConfigurationError: The file does not exist, or ``n`` is below 1.

    Example:
        >>> Path("words.txt").write_text("one\ntwo\nthree\n")
        14
        >>> list(iread_lines("words.txt", 2))
        [['one', 'two'], ['three']]
    """
    return _lines(_file(path), whole("n=", n, 1), encoding)


def _lines(file: Path, n: int, encoding: str) -> Iterator[list[str]]:
    with file.open(encoding=encoding) as lines:
        yield from ichunk((line.removesuffix("\n") for line in lines), n)


def iread_table(path: str | os.PathLike[str], nrows: int, **options: Any) -> Iterator[Any]:
    r"""Read rows of a table into pandas data frames: R's `iread.table(header=TRUE)`.

    Args:
        path: The file.
        nrows: Number of rows at a time.
        **options: Options of `pandas.read_csv`. Columns are separated by white space, unless
            ``sep=`` says otherwise. The first line has the names, unless ``header=None``.

    Returns:
        Data frames, whose index continues from one to the next. Each has its own column
        types, as in R: pass ``dtype=`` where that may mislead.

    Raises:
        ConfigurationError: The file does not exist, ``nrows`` is below 1, or pandas is not
            installed.

    Example:
        >>> Path("table.txt").write_text("x y\n1 2\n3 4\n")
        12
        >>> [len(frame) for frame in iread_table("table.txt", 1)]
        [1, 1]
    """
    rows, file = whole("nrows=", nrows, 1), _file(path)
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
            yield from filter(len, frames)  # a header alone gives an empty frame
    except pandas.errors.EmptyDataError:
        return


def irecord(path: str | os.PathLike[str], iterable: Iterable[object]) -> None:
    """Write all items to a file, for `ireplay`: R's `irecord`.

    Args:
        path: The file. An existing one is replaced.
        iterable: Items. Each is written when it arrives, so those before an error are kept.

    Raises:
        NotPicklableError: An item cannot be pickled.

    Example:
        >>> irecord("items.bin", [1, "two"])
        >>> list(ireplay("items.bin"))
        [1, 'two']
    """
    with Path(path).open("wb") as file:
        for number, item in enumerate(iterable):
            try:
                pickled = cloudpickle.dumps(item)
            except Exception as error:  # any class may raise anything from its __reduce__
                raise NotPicklableError(
                    f"irecord: item {number}, {kind(item)}, cannot be pickled "
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

    Example:
        >>> irecord("squares.bin", (i**2 for i in range(3)))
        >>> list(ireplay("squares.bin"))
        [0, 1, 4]
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


def _file(path: str | os.PathLike[str]) -> Path:
    file = Path(path)
    if not file.exists() or file.is_dir():
        raise ConfigurationError(
            f"path={str(path)!r} is {'a directory' if file.is_dir() else 'not there'}",
            hint="Pass the path of a readable file.",
        )
    return file
