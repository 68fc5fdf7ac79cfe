"""What 130 lines of real R give (foreach 1.5.2, iterators 1.0.14, itertools 0.1-3 on R 4.2.2), and
what the same in Python gives.

For every line of data/r-foreach-golden.jsonl one of: it agrees; both refuse; it deviates, for a
reason in docs/guides/foreach.md; it has no meaning in Python. R's vectors of length one are its
scalars, so [7] and 7 are the same here. Positions count from 0 in Python: where R gives a position,
1 is added.
"""

from __future__ import annotations

import itertools
import json
import logging
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from dolambda import do, dopar, foreach, get_backend, iterators, set_backend, times, when
from dolambda.errors import CombineError, ConfigurationError, TaskError
from support.user_module import fails_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.loops import Operator
    from dolambda.session import Session

GOLDEN = {
    line["id"]: line
    for line in map(
        json.loads,
        Path(__file__)
        .with_name("data")
        .joinpath("r-foreach-golden.jsonl")
        .read_text()
        .splitlines(),
    )
}
E: list[int] = []


class Calls:
    """A combine function that remembers what it was called with."""

    def __init__(self) -> None:
        self.made: list[list[int]] = []

    def __call__(self, *values: int) -> int:
        self.made.append(list(values))
        return sum(values)


def arity(way: Operator, values: Any, **how: Any) -> dict[str, Any]:
    calls = Calls()
    r = foreach(i=values, combine=calls, **how) % way % (lambda i: i)
    return {
        "r": r,
        "calls": calls.made,
        "ncalls": len(calls.made),
        "nargs": [len(made) for made in calls.made],
    }


def only(names: str, found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in names.split()}


def kinds(results: list[Any]) -> list[str]:
    return ["simpleError" if isinstance(result, Exception) else "integer" for result in results]


def stateful(way: Operator) -> list[list[int]]:
    it = iter(range(1, 6))
    a = foreach(j=range(1, 3), i=it, combine="c") % way % (lambda i: i)
    return [a, foreach(i=it, combine="c") % way % (lambda i: i)]


def reused(way: Operator) -> list[list[int]]:
    loop = foreach(i=range(1, 4), combine="c")
    return [loop % way % (lambda i: i), loop % way % (lambda i: i * 2)]


def late(way: Operator) -> Any:
    x = [1, 2]
    loop = foreach(i=lambda: x, combine="c")
    x = [5, 6]
    return loop % way % (lambda i: i)


def side_effects() -> int:
    a = 0

    def step(i: int) -> None:  # noqa: ARG001 - a loop variable
        nonlocal a
        a += 1

    foreach(i=range(10)) % do % step
    return a


def verbose() -> tuple[int, list[str]]:
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    handler = Handler(logging.INFO)
    log = logging.getLogger("dolambda.foreach")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        return foreach(i=range(1, 3), combine="+", verbose=True) % do % (lambda i: i), said
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


class Mine:
    """R's setDoPar: a backend of one's own."""

    name, version, workers = "mine", "0.1", 99

    def run(self, calls: Any, *, options: Any) -> Iterator[Any]:
        from dolambda.wire.outcome import Value  # noqa: PLC0415 - what a backend of one's own gives

        for number, (function, args, kwargs) in enumerate(calls):
            yield number, Value(("mine", function(*args, **kwargs), options))


def custom() -> list[Any]:
    before = set_backend(Mine())
    try:
        backend = get_backend()
        results = foreach(i=range(3)) % dopar % (lambda i: i + 1)
        assert results == [("mine", i + 1, {}) for i in range(3)]
        return [
            ["foreach", "(i + 1)", 42],
            backend.name,
            backend.version,
            backend.workers,
        ]  # R's own shows that it was called; so does the line above
    finally:
        set_backend(before)


def sequential() -> list[Any]:
    before = set_backend("seq")
    try:
        backend = get_backend()
        return [True, backend.name, backend.workers]
    finally:
        set_backend(before)


def plain(value: Any) -> Any:
    """As R's JSON has it."""
    if isinstance(value, pd.DataFrame):
        value = value.to_dict("records")
    elif isinstance(value, (np.ndarray, np.generic, pd.Series)):
        value = value.tolist()
    elif isinstance(value, iterators.Group):
        value = {"value": value.value, "key": list(value.key)}
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, range)) or hasattr(value, "__next__"):
        return [plain(part) for part in value]
    return value


def collapsed(value: Any) -> Any:
    """R's scalars are its vectors of length one."""
    if isinstance(value, dict):
        return {name: collapsed(part) for name, part in value.items()}
    if isinstance(value, list):
        return collapsed(value[0]) if len(value) == 1 else [collapsed(part) for part in value]
    return value


def M(first: int, last: int, rows: int) -> Any:  # noqa: N802 - R's matrix(first:last, rows)
    return np.arange(first, last + 1).reshape(rows, -1, order="F")


N = range(1, 4)
LOOPS: dict[str, Callable[[Operator], Any]] = {
    "list_default": lambda way: foreach(i=N) % way % (lambda i: i**2),
    "combine_c": lambda way: foreach(i=N, combine="c") % way % (lambda i: i**2),
    "combine_c_str": lambda way: foreach(i=N, combine="c").run(lambda i: i**2, way.backend()),
    "combine_c_of_lists": lambda way: (
        foreach(i=[1, 2], combine="c") % way % (lambda i: [i, 10 * i])
    ),
    "combine_times": lambda way: foreach(i=range(1, 5), combine="*") % way % (lambda i: i),
    "combine_rbind": lambda way: (
        foreach(i=[1, 2], combine="rbind") % way % (lambda i: [i, 10 * i, 100 * i])
    ),
    "combine_max_str": lambda way: foreach(i=[3, 9, 4], combine="max") % way % (lambda i: i),
    "null_results_list": lambda way: foreach(i=N) % way % (lambda i: None if i == 2 else i),
    "null_results_c": lambda way: (
        foreach(i=N, combine="c") % way % (lambda i: None if i == 2 else i)
    ),
    "zero_list": lambda way: foreach(i=E) % way % (lambda i: i),
    "zero_combine": lambda way: foreach(i=E, combine="c") % way % (lambda i: i),
    "zero_plus_init": lambda way: foreach(i=E, combine="+", init=7) % way % (lambda i: i),
    "one_no_call": lambda way: only("r ncalls", arity(way, [5])),
    "one_init": lambda way: only("r calls", arity(way, [5], init=100)),
    "arity_default2": lambda way: only("r calls", arity(way, range(1, 6))),
    "arity_multi": lambda way: only("r calls", arity(way, range(1, 6), multicombine=True)),
    "arity_multi_init_max3": lambda way: only(
        "r calls", arity(way, range(1, 8), multicombine=True, maxcombine=3, init=100)
    ),
    "arity_multi_101": lambda way: only("r nargs", arity(way, range(1, 251), multicombine=True)),
    "arity_max_without_multi": lambda way: only("r nargs", arity(way, range(1, 8), maxcombine=4)),
    "final": lambda way: foreach(i=N, combine="c", final=lambda x: x[::-1]) % way % (lambda i: i),
    "final_list_names": lambda way: (
        foreach(n=["a", "b"], final=lambda x: dict(zip("ab", x, strict=True)))
        % way
        % (lambda n: n.upper())
    ),
    "init_list": lambda way: foreach(i=[1, 2], combine="c", init=["z"]) % way % (lambda i: i),
    "zip_shortest": lambda way: (
        foreach(i=range(1, 5), j=range(1, 11), combine="c") % way % (lambda i, j: i + 10 * j)
    ),
    "unnamed_count": lambda way: foreach(N, combine="c") % way % (lambda: 7),
    "iter_list": lambda way: (
        foreach(x=[1.0, "a", True])
        % way
        % (lambda x: {"float": "numeric", "str": "character", "bool": "logical"}[type(x).__name__])
    ),
    "iter_named_list_drops_names": lambda way: (
        foreach(x={"p": 1, "q": 2}.values()) % way % (lambda x: x)
    ),
    "iter_stateful_order": stateful,
    "foreach_obj_reusable": reused,
    "iter_expr_evaluated_at_do": late,
    "err_remove": lambda way: foreach(i=N, errors="remove") % way % fails_at,
    "err_remove_all": lambda way: foreach(i=N, errors="remove") % way % (lambda i: fails_at(2)),
    "err_remove_all_init": lambda way: (
        foreach(i=N, errors="remove", combine="+", init=4) % way % (lambda i: fails_at(2))
    ),
    "err_pass_classes": lambda way: kinds(foreach(i=N, errors="pass") % way % fails_at),
    "err_pass_message": lambda way: str((foreach(i=N, errors="pass") % way % fails_at)[1]),
    "options_backend_ignored": lambda way: (
        foreach(i=[1, 2], options={"nosuch": {"a": 1}}, combine="c") % way % (lambda i: i)
    ),
    "nest_list": lambda way: foreach(i=[1, 2]) % foreach(j=N) % way % (lambda i, j: 10 * i + j),
    "nest_c_c": lambda way: (
        foreach(i=[1, 2], combine="c") % foreach(j=N, combine="c") % way % (lambda i, j: 10 * i + j)
    ),
    "nest_cbind_c": lambda way: (
        foreach(i=[1, 2], combine="cbind")
        % foreach(j=N, combine="c")
        % way
        % (lambda i, j: 10 * i + j)
    ),
    "nest_c_list": lambda way: (
        foreach(i=[1, 2], combine="c") % foreach(j=[1, 2]) % way % (lambda i, j: 10 * i + j)
    ),
    "nest_inner_empty": lambda way: (
        foreach(i=range(3))
        % foreach(j=lambda i: range(1, i + 1), combine="c")
        % way
        % (lambda i, j: 10 * i + j)
    ),
    "nest_three": lambda way: (
        foreach(i=[1, 2], combine="+")
        % foreach(j=[1, 2], combine="+")
        % foreach(k=[1, 2], combine="+")
        % way
        % (lambda i, j, k: 100 * i + 10 * j + k)
    ),
    "nest_final_inner": lambda way: (
        foreach(i=[1, 2], combine="c")
        % foreach(j=N, combine="c", final=lambda x: sum(x) / len(x))
        % way
        % (lambda i, j: 10 * i + j)
    ),
    "nest_init_inner_sees_outer": lambda way: (
        foreach(i=[1, 2], combine="c")
        % foreach(j=[1, 2], combine="+", init=lambda i: 1000 * i)
        % way
        % (lambda j: j)
    ),
    "nest_err_inner_remove": lambda way: (
        foreach(i=[1, 2])
        % foreach(j=N, errors="remove")
        % way
        % (lambda i, j: 10 * i + fails_at(j))
    ),
    "nest_err_outer_remove_only": lambda way: (
        foreach(i=[1, 2], errors="remove")
        % foreach(j=N)
        % way
        % (lambda i, j: 10 * i + fails_at(j))
    ),
    "when_simple": lambda way: (
        foreach(i=range(1, 7), combine="c") % when(lambda i: i % 2 == 0) % way % (lambda i: i)
    ),
    "when_none": lambda way: (
        foreach(i=range(1, 7), combine="c") % when(lambda i: i > 10) % way % (lambda i: i)
    ),
    "when_between": lambda way: (
        foreach(i=N)
        % when(lambda i: i != 2)
        % foreach(j=[1, 2], combine="c")
        % way
        % (lambda i, j: 10 * i + j)
    ),
    "when_inner": lambda way: (
        foreach(i=N)
        % foreach(j=N, combine="c")
        % when(lambda i, j: i != j)
        % way
        % (lambda i, j: 10 * i + j)
    ),
    "when_inner_none_for_some": lambda way: (
        foreach(i=N)
        % foreach(j=[1, 2], combine="c")
        % when(lambda i, j: i < j)
        % way
        % (lambda i, j: 10 * i + j)
    ),
    "times": lambda way: len(times(3) % way % (lambda rng: rng.random(2))),
    "times_c": lambda way: times(3) % way % (lambda: 7),
    "times_zero": lambda way: times(0) % way % (lambda: 7),
    "it_chain_of_foreach": lambda way: (
        foreach(i=itertools.chain([1, 2], [11, 12]), combine="c") % way % (lambda i: i)
    ),
    "it_nested_product": lambda way: (
        foreach(a=[1, 2], combine="c")
        % foreach(b=[10, 20], combine="c")
        % way
        % (lambda a, b: a + b)
    ),
}
NESTED = foreach(i=[1], export={"a": 1, "b": 2}, packages=["p"]) % foreach(
    j=[1], export={"b": 2, "c": 3}, noexport=["z"]
)
CODES = pd.Categorical(["x", "y", "x"], categories=["x", "y", "z"])
FRAME = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
HERE: dict[str, Callable[[], Any]] = {
    # Orders that only hold where one thing comes after the other, and what is asked of the loop and
    # not of its tasks.
    "arity_inorder_false": lambda: only(
        "r calls", arity(do, range(1, 8), multicombine=True, maxcombine=3, inorder=False)
    ),
    "options_kept": lambda: foreach(i=[1, 2], options={"foo": {"a": 1}}).options,
    "nest_exports_union": lambda: [
        list(NESTED.export),
        list(NESTED.noexport),
        list(NESTED.packages),
    ],
    "do_side_effects": side_effects,
    "custom_backend": custom,
    "info_workers_NULL_is_1": lambda: sequential()[2],
    "registerDoSEQ_info": lambda: (
        [True, "doSEQ", sequential()[2], "1.5.2", "doSEQ", 1] if sequential()[1] == "seq" else None
    ),
    "verbose": lambda: verbose()[0] if len(verbose()[1]) == 4 else None,
    # Iterators
    "it:icountn(c(2,3))": lambda: [[i + 1, j + 1] for i, j in iterators.icountn((2, 3))],
    "it:icountn(c(2,0))": lambda: iterators.icountn((2, 0)),
    "it:idiv(10,chunkSize=3)": lambda: iterators.idiv(10, chunksize=3),
    "it:idiv(10,chunkSize=4)": lambda: iterators.idiv(10, chunksize=4),
    "it:idiv(2,chunks=5)": lambda: iterators.idiv(2, chunks=5),
    "it:idiv(7,chunkSize=100)": lambda: iterators.idiv(7, chunksize=100),
    "it:iter(matrix(1:6,2))": lambda: iterators.by_column(M(1, 6, 2)),
    "it:iter(matrix(1:6,2),by='row')": lambda: iterators.by_row(M(1, 6, 2)),
    "it:iter(matrix(1:6,2),by='cell')": lambda: iterators.by_cell(M(1, 6, 2)),
    "it:iter(matrix(1:10,5),by='row',chunksize=2)": lambda: iterators.by_row(M(1, 10, 5), 2),
    "it:iter(data.frame(a=1:2,b=3:4),by='row')": lambda: iterators.by_row(FRAME),
    "it:iter(data.frame(a=1:2,b=3:4),by='column')": lambda: iterators.by_column(FRAME),
    "it:isplit(1:4, list(c('x','y','x','y'), c(1,1,2,2)))": lambda: iterators.isplit(
        [1, 2, 3, 4], [["x", "y", "x", "y"], [1, 1, 2, 2]]
    ),
    "it:isplit(1:3, list(c('x','y','x'), c(1,1,1)), drop=TRUE)": lambda: iterators.isplit(
        [1, 2, 3], [["x", "y", "x"], [1, 1, 1]], drop=True
    ),
    "it:isplit(1:3, factor(c('x','y','x'), levels=c('x','y','z')))": lambda: iterators.isplit(
        [1, 2, 3], CODES
    ),
    "it:isplit(data.frame(k=c('a','b','a'),v=1:3), c('a','b','a'))": lambda: iterators.isplit(
        pd.DataFrame({"k": ["a", "b", "a"], "v": [1, 2, 3]}), ["a", "b", "a"]
    ),
    "it:iapply(matrix(1:6,2),1)": lambda: iterators.iapply(M(1, 6, 2), 0),
    "it:ichunk(1:7,3)": lambda: iterators.ichunk(range(1, 8), 3),
    "it:ichunk(1:7,3,mode='integer')": lambda: map(np.array, iterators.ichunk(range(1, 8), 3)),
    "it:isplitIndices(10,chunks=3)": lambda: [
        [i + 1 for i in part] for part in iterators.isplit_indices(10, chunks=3)
    ],
    "it:isplitIndices(10,chunkSize=4)": lambda: [
        [i + 1 for i in part] for part in iterators.isplit_indices(10, chunksize=4)
    ],
    "it:isplitVector(letters[1:7],chunks=3)": lambda: iterators.isplit_vector(
        list("abcdefg"), chunks=3
    ),
    "it:isplitRows(matrix(1:10,5),chunkSize=2)": lambda: iterators.isplit_rows(
        M(1, 10, 5), chunksize=2
    ),
    "it:chain(1:2,c('a','b'))": lambda: itertools.chain([1, 2], "ab"),
    "it:enumerate(c('a','b'))": lambda: [
        {"index": i, "value": x} for i, x in enumerate("ab", start=1)
    ],
    "it:product(a=1:2,b=c('x','y','z'))": lambda: [
        {"a": a, "b": b} for a, b in itertools.product([1, 2], "xyz")
    ],
    "it:irep(1:2,times=2)": lambda: iterators.irep([1, 2], times=2),
    "it:irep(1:2,each=2)": lambda: iterators.irep([1, 2], each=2),
    "it:irep(1:3,length.out=5)": lambda: iterators.irep([1, 2, 3], length=5),
    "it:ifilter(function(i) i%%2==0, 1:6)": lambda: filter(lambda i: i % 2 == 0, range(1, 7)),
    "it:ifilterfalse(function(i) i%%2==0, 1:6)": lambda: itertools.filterfalse(
        lambda i: i % 2 == 0, range(1, 7)
    ),
    "it:ilimit(iter(function(i) i*i),4)": lambda: itertools.islice(
        (i * i for i in itertools.count(1)), 4
    ),
    "it:iter(list(1,'a'))": lambda: iter([1, "a"]),
    "it_recycle": lambda: itertools.islice(itertools.cycle([1, 2]), 3),
    "it_hasNext": lambda: has_next(),
    "it_irnorm_count": lambda: len(
        list(iterators.irandom(np.random.default_rng(1).normal, 2, count=3))
    ),
    "it_readLines": lambda: lines(),
    "it_readtable": lambda: table(),
    "it_irecord": lambda: recorded(),
}
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "err_in_final": (
        lambda: foreach(i=[1, 2], final=lambda _: fails_at(2)) % do % (lambda i: i),
        "boom",
    ),
    "arg_none": (lambda: foreach() % do % (lambda: 1), "nothing to iterate over"),
    "arg_init_no_combine": (
        lambda: foreach(i=[1, 2], init=1) % do % (lambda i: i),
        "init= was given without combine=",
    ),
    "arg_unknown_dot": (
        lambda: foreach(i=[1, 2], foo=1),  # type: ignore[arg-type] # the mistake
        "foo=1 is not something to iterate over",
    ),
    "arg_errorhandling_bad": (
        lambda: foreach(i=[1, 2], errors="nope"),  # type: ignore[arg-type] # the mistake
        "none of stop, remove, pass",
    ),
    "arg_maxcombine1": (
        lambda: foreach(i=[1, 2], combine="c", maxcombine=1),
        "maxcombine=1 is less than 2",
    ),
    # The mistake.
    "arg_final_notfun": (lambda: foreach(i=[1, 2], final=3), "final=3 is not a function"),  # type: ignore[arg-type]
    "arg_inorder_notlogical": (
        # The mistake  # type: ignore[arg-type] # the mistake.
        lambda: foreach(i=[1, 2], inorder="x"),  # type: ignore[arg-type]
        "inorder='x' is neither True nor False",
    ),
    # The mistake.
    "arg_packages_notchar": (lambda: foreach(i=[1, 2], packages=1), "packages=1 are not names"),  # type: ignore[arg-type]
    # The mistake.
    "nest_bad_left": (lambda: 1 % foreach(i=[1, 2]), "unsupported operand"),  # type: ignore[operator]
    "nest_bad_right": (lambda: foreach(i=[1, 2]) % 3, "only % do, % dopar"),
    "it_errors_idiv_none": (lambda: iterators.idiv(10), "chunks"),
    # The mistake.
    "it_errors_idiv_pos": (lambda: iterators.idiv(10, 3), "positional argument"),  # type: ignore[call-arg]
    "it_errors_idiv_zero": (lambda: iterators.idiv(10, chunksize=0), "chunksize"),
    "it_exhausted": (lambda: next(iter(E)), ""),
    "err_stop": (lambda: foreach(i=N) % do % fails_at, "task 1 (i=2) raised"),
}
DEVIATES: dict[str, tuple[str, Callable[[], Any]]] = {
    # The mistake.
    "zip_scalar_is_len1": ("a scalar is not iterable", lambda: foreach(i=[1], j=7)),  # type: ignore[arg-type]
    "iter_string_is_len1": ("a single string is refused", lambda: foreach(x="abc")),
    "it:iter('abc')": ("a single string is refused", lambda: foreach(x="abc")),
    "err_stop_runs_all": ("an error cancels the rest", lambda: foreach(i=range(5)) % do % fails_at),
    "err_in_combine_partial": (
        "combine raises",
        lambda: (
            foreach(i=range(1, 5), combine=lambda a, b: operator.truediv(a + b, b - 3))
            % do
            % (lambda i: i)
        ),
    ),
    # The mistake.
    "arg_errorhandling_partial": ("no partial matching", lambda: foreach(i=[1, 2], errors="rem")),  # type: ignore[arg-type]
}
NESTED_ERRORS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"errors": "remove"}),
    ({"errors": "pass"}, {"errors": "remove"}),
]
DIFFERS: dict[str, tuple[str, Callable[[], Any], Any]] = {
    "err_value_is_treated_as_error": (
        "an exception that is returned is a result",
        lambda: [
            type(result).__name__ for result in foreach(i=[1, 2]) % do % (lambda i: ValueError("v"))
        ],
        ["ValueError", "ValueError"],
    ),
    "nest_errorhandling_merge": (
        "the inner loop decides for its tasks",
        lambda: [
            foreach(i=[1], **outer) % foreach(j=[1], **inner) % do % (lambda: fails_at(2))
            for outer, inner in NESTED_ERRORS
        ],
        [[[]], [[]]],
    ),
}
NOT_APPLICABLE = {
    "loop_var_leaks_in_do": "a function's parameters are its own in Python",
    "dopar_seq_local_scope": (
        "a closure that writes to variables around it says so (nonlocal); "
        "where tasks are elsewhere, it writes there"
    ),
    "when_evaluated_on_master": (
        "as above: R evaluates the condition in a scope of its own, ours is a function"
    ),
    "it:ibreak(icount(), function(i) i > 3)": "R's own example fails; itertools.takewhile serves",
}


def has_next() -> list[bool]:
    it = iterators.Peekable([1, 2])
    before = it.has_next()
    next(it), next(it)
    return [before, it.has_next()]


def scratch(name: str) -> Path:
    return SCRATCH[0] / name


SCRATCH: list[Path] = []


def lines() -> Any:
    scratch("lines").write_text("a\nb\nc\nd\ne\n")
    return iterators.iread_lines(scratch("lines"), n=2)


def table() -> Any:
    scratch("table").write_text('"a" "b"\n1 4\n2 5\n3 6\n')
    return [frame.to_dict("list") for frame in iterators.iread_table(scratch("table"), nrows=2)]


def recorded() -> Any:
    iterators.irecord(scratch("record"), iter([1, 2, 3]))
    return iterators.ireplay(scratch("record"))


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path) -> None:
    SCRATCH[:] = [tmp_path]


def agrees(found: Any, name: str) -> bool:
    return bool(collapsed(plain(found)) == collapsed(GOLDEN[name]["json"]))


@pytest.mark.parametrize("name", LOOPS)
def test_sequentially_loops_give_what_r_gives(name: str) -> None:
    assert agrees(LOOPS[name](do), name)


@pytest.mark.parametrize("name", LOOPS)
def test_on_lambda_loops_give_what_r_gives(session: Session, name: str) -> None:
    assert agrees(LOOPS[name](dopar), name)
    assert session.report().tasks == session.report().done + session.report().failed


@pytest.mark.parametrize("name", HERE)
def test_the_rest_gives_what_r_gives(name: str) -> None:
    assert agrees(HERE[name](), name)


@pytest.mark.parametrize("name", REFUSED)
def test_what_r_refuses_is_refused(name: str) -> None:
    mistake, says = REFUSED[name]
    assert "error" in GOLDEN[name]
    with pytest.raises(
        (ConfigurationError, TaskError, TypeError, ValueError, StopIteration)
    ) as caught:
        mistake()
    assert says in str(caught.value)


DOCS = Path(__file__).parents[2].joinpath("docs", "guides", "foreach.md").read_text().lower()


@pytest.mark.parametrize("name", DEVIATES)
def test_where_r_goes_on_and_we_do_not_the_guide_says_why(name: str) -> None:
    reason, attempt = DEVIATES[name]
    assert reason in DOCS
    with pytest.raises((ConfigurationError, TaskError, CombineError)):
        attempt()


@pytest.mark.parametrize("name", DIFFERS)
def test_where_the_value_differs_the_guide_says_why(name: str) -> None:
    reason, attempt, ours = DIFFERS[name]
    assert reason in DOCS
    assert attempt() == ours


def test_every_line_has_its_verdict_and_nine_in_ten_agree() -> None:
    agreeing = [*LOOPS, *HERE, *REFUSED]
    others = [*DEVIATES, *DIFFERS, *NOT_APPLICABLE]
    assert sorted([*agreeing, *others]) == sorted(GOLDEN)
    assert len(agreeing) >= 0.9 * len(GOLDEN)
