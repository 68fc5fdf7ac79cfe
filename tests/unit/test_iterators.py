"""The values are R's own (iterators 1.0.14, itertools 0.1-3): what differs is said where a row
changes it.
"""

from __future__ import annotations

import itertools
import math
import operator
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dolambda.errors import ConfigurationError, NotPicklableError
from dolambda.iterators import (
    Group,
    Peekable,
    by_cell,
    by_column,
    by_row,
    iapply,
    ichunk,
    icountn,
    idiv,
    irandom,
    iread_lines,
    iread_table,
    irecord,
    irep,
    ireplay,
    isplit,
    isplit_cols,
    isplit_indices,
    isplit_rows,
    isplit_vector,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

MATRIX = np.arange(1, 7).reshape(2, 3, order="F")  # R's matrix(1:6, 2)
TALL = np.arange(1, 11).reshape(5, 2, order="F")  # R's matrix(1:10, 5)
FRAME = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
KEYED = pd.DataFrame({"k": ["a", "b", "a"], "v": [1, 2, 3]})
WITH_Z = pd.Categorical(["x", "y", "x"], categories=["x", "y", "z"])


def plain(value: Any) -> Any:
    """Lists and dicts for arrays, ranges, frames and groups, so that == compares them."""
    if isinstance(value, Group):
        return {"value": plain(value.value), "key": list(value.key)}
    if isinstance(value, pd.DataFrame):
        return value.to_dict("records")
    if isinstance(value, (np.ndarray, np.generic, pd.Series)):
        return value.tolist()
    return list(value) if isinstance(value, (tuple, range)) else value


def from_one(positions: Iterable[Iterable[int]]) -> Iterator[list[int]]:
    return ([position + 1 for position in some] for some in positions)


GOLDEN: dict[str, tuple[Callable[[], Iterable[Any]], list[Any]]] = {
    "icountn(c(2,3))": (
        lambda: from_one(icountn([2, 3])),
        [[1, 1], [2, 1], [1, 2], [2, 2], [1, 3], [2, 3]],
    ),
    "icountn(c(2,0))": (lambda: icountn([2, 0]), []),
    "idiv(10,chunkSize=3)": (lambda: idiv(10, chunksize=3), [3, 3, 2, 2]),
    "idiv(10,chunkSize=4)": (lambda: idiv(10, chunksize=4), [4, 3, 3]),
    "idiv(2,chunks=5)": (lambda: idiv(2, chunks=5), [1, 1]),
    "idiv(7,chunkSize=100)": (lambda: idiv(7, chunksize=100), [7]),
    "iter(matrix(1:6,2))": (lambda: by_column(MATRIX), [[[1], [2]], [[3], [4]], [[5], [6]]]),
    "iter(matrix(1:6,2),by='row')": (lambda: by_row(MATRIX), [[[1, 3, 5]], [[2, 4, 6]]]),
    "iter(matrix(1:6,2),by='cell')": (lambda: by_cell(MATRIX), [1, 2, 3, 4, 5, 6]),
    "iter(matrix(1:10,5),by='row',chunksize=2)": (
        lambda: by_row(TALL, 2),
        [[[1, 6], [2, 7]], [[3, 8], [4, 9]], [[5, 10]]],
    ),
    "iter(data.frame(a=1:2,b=3:4),by='row')": (
        lambda: by_row(FRAME),
        [[{"a": 1, "b": 3}], [{"a": 2, "b": 4}]],
    ),
    "iter(data.frame(a=1:2,b=3:4),by='column')": (lambda: by_column(FRAME), [[1, 2], [3, 4]]),
    "isplit(1:4, list(c('x','y','x','y'), c(1,1,2,2)))": (
        lambda: isplit([1, 2, 3, 4], [["x", "y", "x", "y"], [1, 1, 2, 2]]),
        [
            {"value": [1], "key": ["x", 1]},
            {"value": [2], "key": ["y", 1]},
            {"value": [3], "key": ["x", 2]},
            {"value": [4], "key": ["y", 2]},
        ],
    ),
    "isplit(1:3, list(c('x','y','x'), c(1,1,1)), drop=TRUE)": (
        lambda: isplit([1, 2, 3], [["x", "y", "x"], [1, 1, 1]], drop=True),
        [{"value": [1, 3], "key": ["x", 1]}, {"value": [2], "key": ["y", 1]}],
    ),
    "isplit(1:3, factor(c('x','y','x'), levels=c('x','y','z')))": (
        lambda: isplit([1, 2, 3], WITH_Z),
        [
            {"value": [1, 3], "key": ["x"]},
            {"value": [2], "key": ["y"]},
            {"value": [], "key": ["z"]},
        ],
    ),
    "isplit(data.frame(k=c('a','b','a'),v=1:3), c('a','b','a'))": (
        lambda: isplit(KEYED, ["a", "b", "a"]),
        [
            {"value": [{"k": "a", "v": 1}, {"k": "a", "v": 3}], "key": ["a"]},
            {"value": [{"k": "b", "v": 2}], "key": ["b"]},
        ],
    ),
    "iapply(matrix(1:6,2),1)": (lambda: iapply(MATRIX, 0), [[1, 3, 5], [2, 4, 6]]),
    "ichunk(1:7,3)": (lambda: ichunk(range(1, 8), 3), [[1, 2, 3], [4, 5, 6], [7]]),
    "ichunk(1:7,3,mode='integer')": (
        lambda: map(np.array, ichunk(range(1, 8), 3)),
        [[1, 2, 3], [4, 5, 6], [7]],
    ),
    "isplitIndices(10,chunks=3)": (
        lambda: from_one(isplit_indices(10, chunks=3)),
        [[1, 2, 3, 4], [5, 6, 7], [8, 9, 10]],
    ),
    "isplitIndices(10,chunkSize=4)": (
        lambda: from_one(isplit_indices(10, chunksize=4)),
        [[1, 2, 3, 4], [5, 6, 7], [8, 9, 10]],
    ),
    "isplitVector(letters[1:7],chunks=3)": (
        lambda: isplit_vector(list("abcdefg"), chunks=3),
        [["a", "b", "c"], ["d", "e"], ["f", "g"]],
    ),
    "isplitRows(matrix(1:10,5),chunkSize=2)": (
        lambda: isplit_rows(TALL, chunksize=2),
        [[[1, 6], [2, 7]], [[3, 8], [4, 9]], [[5, 10]]],
    ),
    "irep(1:2,times=2)": (lambda: irep([1, 2], times=2), [1, 2, 1, 2]),
    "irep(1:2,each=2)": (lambda: irep([1, 2], each=2), [1, 1, 2, 2]),
    "irep(1:3,length.out=5)": (lambda: irep([1, 2, 3], length=5), [1, 2, 3, 1, 2]),
    "irnorm_count": (
        lambda: [len(list(irandom(np.random.default_rng(1).normal, 2, count=3)))],
        [3],
    ),
    # What Python's own serve for, as the module's table says.
    "chain(1:2,c('a','b'))": (lambda: itertools.chain([1, 2], "ab"), [1, 2, "a", "b"]),
    "enumerate(c('a','b'))": (lambda: enumerate("ab", start=1), [[1, "a"], [2, "b"]]),
    "product(a=1:2,b=c('x','y','z'))": (
        lambda: itertools.product([1, 2], "xyz"),
        [[1, "x"], [1, "y"], [1, "z"], [2, "x"], [2, "y"], [2, "z"]],
    ),
    "ifilter(function(i) i%%2==0, 1:6)": (
        lambda: filter(lambda i: i % 2 == 0, range(1, 7)),
        [2, 4, 6],
    ),
    "ifilterfalse(function(i) i%%2==0, 1:6)": (
        lambda: itertools.filterfalse(lambda i: i % 2 == 0, range(1, 7)),
        [1, 3, 5],
    ),
    "ilimit(iter(function(i) i*i),4)": (
        lambda: itertools.islice(map(operator.mul, itertools.count(1), itertools.count(1)), 4),
        [1, 4, 9, 16],
    ),
    "iter(list(1,'a'))": (lambda: iter([1, "a"]), [1, "a"]),
    "recycle": (lambda: itertools.islice(itertools.cycle([1, 2]), 3), [1, 2, 1]),
    "exhausted": (
        lambda: [next(gone := iter(range(1))), next(gone, "StopIteration")],
        [0, "StopIteration"],
    ),
    "chain_of_foreach": (lambda: itertools.chain([1, 2], [11, 12]), [1, 2, 11, 12]),
    "nested_product": (
        lambda: itertools.starmap(lambda a, b: a + b, itertools.product([1, 2], [10, 20])),
        [11, 21, 12, 22],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_values_and_order_are_those_of_r(name: str) -> None:
    made, expected = GOLDEN[name]
    assert [plain(part) for part in made()] == expected


def test_files_are_read_as_r_reads_them(tmp_path: Path) -> None:
    lines, table, recording = (tmp_path / name for name in ("lines", "table", "recording"))
    lines.write_text("a\nb\nc\nd\ne\n")
    assert list(iread_lines(lines, 2)) == [["a", "b"], ["c", "d"], ["e"]]
    table.write_text('"a" "b"\n1 4\n2 5\n3 6\n')  # what write.table(row.names=FALSE) writes
    assert [frame.to_dict("list") for frame in iread_table(table, 2)] == [
        {"a": [1, 2], "b": [4, 5]},
        {"a": [3], "b": [6]},
    ]
    irecord(recording, iter([1, 2, 3]))
    assert list(ireplay(recording)) == [1, 2, 3]


def test_an_iterator_that_knows_whether_it_goes_on() -> None:
    ahead = Peekable([1, 2])
    assert [
        ahead.has_next(),
        ahead.has_next(),
        ahead.peek(),
        next(ahead),
        next(ahead),
        ahead.has_next(),
    ] == [True, True, 1, 1, 2, False]
    with pytest.raises(StopIteration):
        next(ahead)
    with pytest.raises(StopIteration):
        ahead.peek()
    assert list(Peekable("ab")) == ["a", "b"]


# R's own unit tests (iterators' inst/unitTests) and testthat cases.


def test_a_matrix_keeps_its_dimensions() -> None:
    columns, rows = list(by_column(TALL)), list(by_row(TALL))
    assert [len(columns), len(rows), len(list(by_cell(TALL)))] == [2, 5, 10]
    assert {column.shape for column in columns} == {(5, 1)}
    assert {row.shape for row in rows} == {(1, 2)}
    assert rows[0].tolist() == [[1, 6]]


def test_a_check_function_is_a_filter() -> None:
    hundred = np.arange(1, 101)
    columns, rows = hundred.reshape(5, 20, order="F"), hundred.reshape(20, 5)
    assert list(filter(lambda cell: cell % 10 == 0, by_cell(columns))) == list(range(10, 101, 10))
    for blocks, last, second in (
        (by_column(columns), (4, 0), columns[:, [1]]),
        (by_row(rows), (0, 4), rows[[1], :]),
    ):
        hits = [block for block in blocks if block[last] % 10 == 0]
        assert len(hits) == 10
        np.testing.assert_array_equal(hits[0], second)


def test_a_frame_gives_frames_by_row_and_series_by_column() -> None:
    frame = pd.DataFrame({"a": range(1, 11), "b": range(11, 21)})
    rows, columns = list(by_row(frame)), list(by_column(frame))
    assert {row.shape for row in rows} == {(1, 2)}
    pd.testing.assert_frame_equal(pd.concat(rows), frame)
    assert [type(column) for column in columns] == [pd.Series] * 2
    pd.testing.assert_frame_equal(pd.concat(columns, axis=1), frame)
    assert [block.shape for block in by_column(pd.concat([frame, frame["a"]], axis=1), 2)] == [
        (10, 2),
        (10, 1),
    ]
    assert list(by_cell(frame)) == list(range(1, 21))


def test_functions_as_iterators() -> None:
    def below_100(i: int) -> int:
        if i > 100:
            raise ArithmeticError
        return i

    assert list(itertools.islice(iter(lambda: 1, object()), 3)) == [1, 1, 1]
    numbers = map(below_100, itertools.count(1))
    assert list(itertools.islice(numbers, 100)) == list(range(1, 101))
    with pytest.raises(ArithmeticError):
        next(numbers)


@pytest.mark.parametrize(("axis", "by", "most"), [(1, by_column, 23), (0, by_row, 15)])
def test_blocks_of_any_size_make_the_matrix_again(
    axis: int, by: Callable[[Any, int], Iterator[Any]], most: int
) -> None:
    matrix = np.random.default_rng(1).normal(size=(13, 21))
    for size in range(1, most + 1):
        blocks = list(by(matrix, size))
        assert {block.shape[1 - axis] for block in blocks} == {matrix.shape[1 - axis]}
        assert [block.shape[axis] for block in blocks[:-1]] == [size] * (len(blocks) - 1)
        assert 1 <= blocks[-1].shape[axis] <= size
        np.testing.assert_array_equal(np.concatenate(blocks, axis=axis), matrix)


def applied(array: Any, axes: tuple[int, ...]) -> list[Any]:
    """R's apply(array, axes, identity), by its definition: margins last, all else and the margins
    column-major.
    """
    rest = [axis for axis in range(array.ndim) if axis not in axes]
    turned = array.transpose(*rest, *axes).reshape(
        [array.shape[axis] for axis in rest] + [-1], order="F"
    )
    return [turned[..., at] for at in range(turned.shape[-1])]


@pytest.mark.parametrize("shape", [(2, 3, 4), (6, 4)])
def test_slices_and_their_order_are_those_of_apply(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(2).normal(size=shape)
    margins = [
        axes
        for size in range(1, len(shape) + 1)
        for axes in itertools.permutations(range(len(shape)), size)
    ]
    assert len(margins) == {3: 15, 2: 4}[len(shape)]
    for axes in margins:
        for ours, theirs in zip(iapply(array, axes), applied(array, axes), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        backwards = [axis - len(shape) for axis in axes]
        assert [plain(part) for part in iapply(array, backwards)] == [
            plain(part) for part in iapply(array, axes)
        ]


def test_frames_are_applied_over_too() -> None:
    assert [plain(row) for row in iapply(FRAME, 0)] == [[1, 3], [2, 4]]
    assert [plain(cell) for cell in iapply(FRAME, [1, 0])] == [1, 3, 2, 4]


@pytest.mark.parametrize(
    "dims",
    [
        *([0], [1], [2], [5]),
        *([0, 1], [3, 0], [0, 0], [1, 1], [2, 3], [10, 7]),
        *([2, 0, 3], [1, 2, 3], [3, 2, 1], [4, 4, 4]),
        *([10, 10, 10, 10], [1, 1, 1, 1, 5], [2, 1, 2, 1, 2, 1], [1, 2] * 6 + [2]),
    ],
)
def test_counting_has_the_order_of_expand_grid(dims: list[int]) -> None:
    grid = (
        np.indices(dims).reshape(len(dims), -1, order="F").T
        if math.prod(dims)
        else np.empty((0, len(dims)))
    )
    assert list(map(list, icountn(dims))) == grid.tolist()


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("number", [1, 2])
def test_groups_are_those_of_split(number: int, drop: bool) -> None:
    rng = np.random.default_rng(3)
    values, factors = (
        rng.normal(size=200),
        [rng.choice(list("abcdefghij"), 200) for _ in range(number)],
    )
    keys = [
        key[::-1] for key in itertools.product(*([*"abcdefghij"],) * number)
    ]  # the first fastest
    members = {
        key: values[
            np.all([factor == level for factor, level in zip(factors, key, strict=True)], axis=0)
        ]
        for key in keys
    }
    got = list(isplit(values, factors if number > 1 else factors[0], drop=drop))
    assert [group.key for group in got] == [key for key in keys if len(members[key]) or not drop]
    for group in got:
        np.testing.assert_array_equal(group.value, members[group.key])
    assert number == 1 or drop == all(
        len(group.value) for group in got
    )  # the seed leaves some of 100 groups empty


def test_recycling() -> None:
    values = np.random.default_rng(4).normal(size=21)
    recycled = [value for value, _ in zip(itertools.cycle(values), range(21 * 17), strict=False)]
    np.testing.assert_array_equal(
        np.reshape(recycled, (21, 17), order="F"), np.repeat(values[:, None], 17, axis=1)
    )
    assert list(irep(values, times=17)) == recycled


# What R's tests leave open.


@given(st.integers(0, 10_000), st.integers(1, 200))
def test_divisions_are_whole_and_balanced(n: int, by: int) -> None:
    for sizes in (list(idiv(n, chunks=by)), list(idiv(n, chunksize=by))):
        assert sum(sizes) == n
        assert sizes == sorted(sizes, reverse=True)
        assert not sizes or sizes[0] - sizes[-1] <= 1
    assert len(list(idiv(n, chunks=by))) == min(n, by)
    assert len(list(idiv(n, chunksize=by))) == math.ceil(n / by)


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("abcdefg", ["abc", "de", "fg"]),
        (range(7), [range(3), range(3, 5), range(5, 7)]),
        ((1, 2), [(1,), (2,)]),
        (np.arange(4), [[0, 1], [2], [3]]),
        (
            pd.Series([5, 6, 7], index=[2, 1, 0]),
            [[5], [6], [7]],
        ),  # by position, whatever the labels
    ],
)
def test_slices_are_of_the_kind_of_their_sequence(whole: Any, parts: list[Any]) -> None:
    got = list(isplit_vector(whole, chunks=3))
    assert {type(part) for part in got} == {type(whole)}
    assert [plain(part) for part in got] == [plain(part) for part in parts]


def test_frames_split_into_frames() -> None:
    assert [plain(block) for block in isplit_rows(FRAME, chunks=2)] == [
        [{"a": 1, "b": 3}],
        [{"a": 2, "b": 4}],
    ]
    assert [plain(block) for block in isplit_cols(FRAME, chunks=2)] == [
        [{"a": 1}, {"a": 2}],
        [{"b": 3}, {"b": 4}],
    ]
    assert [block.shape for block in isplit_cols(MATRIX, chunksize=2)] == [(2, 2), (2, 1)]


def test_repeating_items_and_then_all_of_them() -> None:
    assert "".join(irep("ab", each=2, times=2)) == "aabbaabb"
    assert "".join(irep("ab", each=2, length=7)) == "aabbaab"
    assert "".join(irep("ab")) == "ab"
    assert (
        list(irep("ab", times=0))
        == list(irep("ab", each=0, times=3))
        == list(irep("ab", length=0))
        == list(irep("", length=3))
        == []
    )


@pytest.mark.parametrize(
    ("groups", "keys"),
    [
        (["b", None, "a"], [("a",), ("b",)]),
        (np.array([2.0, math.nan, 1.0]), [(1.0,), (2.0,)]),
        (pd.Series(["b", pd.NA, "a"], dtype=object), [("a",), ("b",)]),
        (pd.Series(["b", None, "a"]), [("a",), ("b",)]),
        (
            pd.Series(["b", None, "a"], dtype="category").cat.set_categories(["b", "a"]),
            [("b",), ("a",)],
        ),
        (
            np.array(["2024-01-02", "NaT", "2024-01-01"], dtype="M8[ns]"),
            [(np.datetime64("2024-01-01"),), (np.datetime64("2024-01-02"),)],
        ),
        ([("b", 1), None, ("a", 2)], [(("a", 2),), (("b", 1),)]),  # tuples are keys
        (pd.DataFrame({"p": ["b", None, "a"], "q": [1, 1, 1]}), [("a", 1), ("b", 1)]),
    ],
)
def test_levels_are_sorted_and_what_is_missing_is_in_no_group(
    groups: Any, keys: list[tuple[Any, ...]]
) -> None:
    got = list(isplit(["x", "y", "z"], groups))
    assert [group.key for group in got] == keys
    assert {*itertools.chain.from_iterable(group.value for group in got)} == {"x", "z"}


def test_keys_are_plain_values_and_rows_of_arrays_are_taken() -> None:
    [first, second] = isplit(TALL, np.array([1, 2, 1, 2, 2]))
    assert repr(first.key) == "(1,)"
    assert first.value.tolist() == [[1, 6], [3, 8]]
    assert second.value.tolist() == [[2, 7], [4, 9], [5, 10]]
    assert [
        plain(group.value)
        for group in isplit(np.array([1, 2]), pd.Categorical(["b", "b"], categories=["a", "b"]))
    ] == [[], [1, 2]]


def test_thousands_of_levels_need_no_walk_through_all_combinations() -> None:
    names = list(range(3000))
    assert [group.value for group in isplit(names, [names] * 4, drop=True)] == [
        [name] for name in names
    ]
    assert [group.value for group in itertools.islice(isplit(names, [names] * 4), 2)] == [[0], []]


def test_tables_take_pandas_options(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("1,x\n2,y\n")
    [frame] = iread_table(table, 5, sep=",", header=None, names=["n", "s"])
    assert frame.to_dict("list") == {"n": [1, 2], "s": ["x", "y"]}
    for nothing in ("", "a b\n"):
        table.write_text(nothing)
        assert list(iread_table(table, 1)) == []


def test_lines_of_any_end(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes("é\r\n\r\nlast".encode("latin-1"))
    assert list(iread_lines(file, encoding="latin-1")) == [["é"], [""], ["last"]]
    file.write_bytes(b"")
    assert list(iread_lines(file)) == []


def test_a_recording_holds_whatever_can_be_pickled(tmp_path: Path) -> None:
    file = tmp_path / "recording"
    irecord(file, [MATRIX, lambda x: x + 1, None])
    matrix, add, none = ireplay(file)
    matrix[0, 0] = 7
    assert [matrix.tolist(), add(1), none] == [[[7, 3, 5], [2, 4, 6]], 2, None]
    irecord(file, [])
    assert list(ireplay(file)) == []


def test_what_was_recorded_before_an_error_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "recording"
    with pytest.raises(NotPicklableError, match=r"item 1, of type generator, cannot be pickled"):
        irecord(file, ["kept", (i for i in range(3))])
    assert list(ireplay(file)) == ["kept"]


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-2], lambda data: data + b"no pickle", lambda data: data + b"\x80"]
)
def test_a_recording_cut_off_or_spoilt_says_so(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "recording"
    irecord(file, ["first", "second"])
    file.write_bytes(spoil(file.read_bytes()))
    played = ireplay(file)
    assert next(played) == "first"
    with pytest.raises(
        ConfigurationError, match=r"is not a recording, or was cut off in item [12]\n"
    ):
        list(played)


def test_draws_are_the_generator_s_own() -> None:
    endless = irandom(np.random.default_rng(1).normal, 2, loc=5.0)
    rng = np.random.default_rng(1)
    for drawn in itertools.islice(endless, 3):
        np.testing.assert_array_equal(drawn, rng.normal(5.0, size=2))
    samples: list[Any] = list(irandom(rng.choice, 3, count=2, a=[1, 2, 3], replace=False))
    assert [sorted(sample) for sample in samples] == [[1, 2, 3]] * 2
    assert np.ndim(next(irandom(rng.normal))) == 0


# Laziness.


class Source:
    """Endless, and counts what was taken of it."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.taken += 1
            yield self.taken - 1


@pytest.mark.parametrize(
    ("made", "first", "taken"),
    [
        (lambda source: ichunk(source, 3), [0, 1, 2], 3),
        (lambda source: irep(source), 0, 1),
        (lambda source: irep(source, each=2), 0, 1),
        (lambda source: irep(source, times=2), 0, 1),
        (lambda source: irep(source, length=5), 0, 1),
        (Peekable, 0, 1),
    ],
)
def test_nothing_is_taken_before_it_is_asked_for(
    made: Callable[[Source], Iterator[Any]], first: Any, taken: int
) -> None:
    source = Source()
    parts = made(source)
    assert source.taken == 0
    assert next(parts) == first
    assert source.taken == taken


class Huge:
    """Two dimensions of 10**12 and no cells: what a slice of it gives is what was asked."""

    shape = (10**12, 10**12)

    def __getitem__(self, index: Any) -> Any:
        return index


@pytest.mark.parametrize(
    ("made", "second"),
    [
        (by_row, (slice(1, 2), slice(None))),
        (by_column, (slice(None), slice(1, 2))),
        (by_cell, (1, 0)),
        (partial(iapply, axes=1), (slice(None), 1)),
        (partial(isplit_rows, chunksize=5), (slice(5, 10), slice(None))),
        (partial(isplit_cols, chunks=10), (slice(None), slice(10**11, 2 * 10**11))),
        (lambda x: icountn(x.shape), (1, 0)),
        (lambda x: isplit_vector(range(x.shape[0]), chunksize=5), range(5, 10)),
        (lambda x: isplit_indices(x.shape[0], chunksize=5), range(5, 10)),
    ],
)
def test_parts_are_made_one_at_a_time_of_anything_with_a_shape(
    made: Callable[[Any], Iterator[Any]], second: Any
) -> None:
    assert list(itertools.islice(made(Huge()), 2))[1] == second


def test_counting_towards_nothing_ends_at_once() -> None:
    assert list(icountn([0, 10**12])) == []


def test_parts_of_arrays_are_views() -> None:
    array = np.zeros((4, 2))
    for row, block in enumerate(by_row(array)):
        block[:] = row
    assert array[:, 0].tolist() == [0, 1, 2, 3]


def test_neither_numpy_nor_pandas_is_loaded() -> None:
    code = "import sys, dolambda.iterators; assert not {'numpy', 'pandas'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


# Errors, all at the call.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: idiv(10),
            r"chunks=None and chunksize=None: exactly one of them is needed",
        ),  # it_errors_idiv_none
        (lambda: idiv(10, chunks=2, chunksize=2), r"chunks=2 and chunksize=2: exactly one"),
        (
            lambda: idiv(10, chunksize=0),
            r"chunksize=0 is not a whole number of 1 or more",
        ),  # it_errors_idiv_zero
        (lambda: idiv(10, chunks=0), r"chunks=0 is not"),
        (lambda: idiv(-1, chunks=1), r"n=-1 is not a whole number of 0 or more"),
        (lambda: idiv(2.5, chunks=1), r"n=2\.5 is not a whole number"),  # type: ignore[arg-type]
        (lambda: isplit_indices(10), r"exactly one"),
        (lambda: isplit_vector([1]), r"exactly one"),
        (lambda: isplit_rows(MATRIX), r"exactly one"),
        (lambda: isplit_cols(MATRIX, chunksize=0), r"chunksize=0"),
        (
            lambda: isplit_vector({1: 2}, chunks=1),
            r"sequence is of type dict, whose entries cannot be taken by position\n.*list",
        ),
        (
            lambda: isplit_vector(iter([1]), chunks=1),
            r"sequence is of type list_iterator,.*\n.*ichunk takes iterators",
        ),
        (
            lambda: isplit_vector(MATRIX, chunks=1),
            r"of type ndarray and of shape \(2, 3\),.*\n.*isplit_rows",
        ),
        (lambda: icountn([]), r"dims is empty"),
        (lambda: icountn([2, -1]), r"dims: -1 is not a whole number of 0 or more"),
        (lambda: ichunk([1], 0), r"size=0"),
        (lambda: irep([1], times=-1), r"times=-1"),
        (lambda: irep([1], each=-1), r"each=-1"),
        (lambda: irep([1], length=-1), r"length=-1"),
        (lambda: irep([1], times=1, length=1), r"both times=1 and length=1"),
        (
            lambda: by_row([[1, 2]]),
            r"by_row: x is of type list, not a matrix or a data frame\n.*asarray",
        ),
        (lambda: by_row(MATRIX, 0), r"chunksize=0"),
        (lambda: by_column(np.zeros(3)), r"by_column: x is of type ndarray and of shape \(3,\)"),
        (lambda: by_column(FRAME, 0), r"chunksize=0"),
        (lambda: by_cell(np.zeros((1, 1, 1))), r"by_cell: x is .*\(1, 1, 1\)"),
        (lambda: isplit_rows(FRAME["a"], chunks=1), r"isplit_rows: x is of type Series"),
        (lambda: isplit_cols(5, chunks=1), r"isplit_cols: x is of type int"),
        (
            lambda: iapply(MATRIX, 2),
            r"axes=2 are not different axes of array, which is .*\(2, 3\)\n.*margin 1 is axis 0",
        ),
        (lambda: iapply(MATRIX, (0, -2)), r"axes=\(0, -2\)"),
        (lambda: iapply(MATRIX, ()), r"axes=\(\)"),
        (lambda: iapply([1, 2], 0), r"which is of type list\n.*asarray"),
        (lambda: isplit(iter([1]), [1]), r"isplit: x is of type list_iterator"),
        (lambda: isplit({1: 2}, [1]), r"isplit: x is of type dict"),
        (lambda: isplit([1, 2, 3], ["a", "b"]), r"groups has 2 entries, and x has 3"),
        (lambda: isplit([1, 2], [["a", "b"], ["a"]]), r"groups\[1\] has 1 entries, and x has 2"),
        (
            lambda: isplit([1, 2], ["a", 1]),
            r"groups cannot be sorted into levels .*\n.*Categorical",
        ),
        (lambda: isplit([1, 2], [{}, 1]), r"unhashable type"),
        (lambda: isplit([1, 2], 5), r"not iterable"),
        (lambda: iread_lines("/nowhere/at/all"), r"path='/nowhere/at/all' is not there"),
        (lambda: iread_lines("/"), r"path='/' is a directory"),
        (lambda: iread_lines(__file__, 0), r"n=0"),
        (lambda: iread_table(__file__, 0), r"nrows=0"),
        (lambda: iread_table(__file__, 1, chunksize=2), r"nrows= and chunksize= are the same"),
        (lambda: ireplay("/nowhere/at/all"), r"is not there"),
        (lambda: irandom(0.5, 2), r"draw=0\.5 is not a function"),  # type: ignore[arg-type]
        (lambda: irandom(np.random.default_rng(1).normal, 2, count=-1), r"count=-1"),
    ],
)
def test_what_is_wrong_is_said_at_the_call(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call()


def test_chunks_are_given_by_name() -> None:  # it_errors_idiv_pos
    with pytest.raises(TypeError, match="positional"):
        idiv(10, 3)  # type: ignore[call-arg, misc, unused-ignore]


def test_tables_need_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match=r"pandas is not installed\n.*pip install pandas"):
        iread_table(__file__, 1)
