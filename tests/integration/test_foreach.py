"""foreach: what R's own tests state, on loky and on Lambda; and streams, seeds and backends, which
R has otherwise or not at all.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import random
import time
import tracemalloc
import warnings
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dolambda import (
    LambdaExecutor,
    do,
    dopar,
    foreach,
    get_backend,
    iterators,
    set_backend,
    times,
    when,
)
from dolambda.errors import CombineError, ConfigurationError, TaskError
from dolambda.loops import backends, chosen_backend
from support.user_module import fails_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.session import Session

on_both = pytest.mark.parametrize("way", ["loky", "dolambda"], indirect=True)


@pytest.fixture
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """``%dopar%`` on a backend of joblib's, or on Lambda."""
    if request.param == "dolambda":
        request.getfixturevalue("session")
    before = set_backend(request.param, workers=2)
    yield request.param
    set_backend(before)


@pytest.fixture
def unregistered() -> Iterator[None]:
    before = set_backend(None)
    chosen_backend._warned = False
    yield
    set_backend(before)


# R's own tests (reference: foreach 1.5.2 tests/testthat, doParallel 1.0.17, doRNG 1.8.6, doFuture):
# values only, written anew.


@on_both
@pytest.mark.usefixtures("way")
def test_more_results_than_one_call_of_combine_takes() -> None:
    assert foreach(i=range(1, 102), combine="+").dopar(lambda i: i) == 5151


@on_both
@pytest.mark.usefixtures("way")
def test_results_come_in_order_however_long_tasks_take() -> None:
    def nap(i: int) -> int:
        time.sleep((3 - i) * 0.2)
        return i

    for _ in range(3):
        assert foreach(i=range(1, 4), combine="c").dopar(nap) == [1, 2, 3]


@on_both
@pytest.mark.usefixtures("way")
def test_matrices_and_frames_taken_apart_and_put_together_again() -> None:
    x = np.random.default_rng(0).random((25, 16))
    frame = pd.DataFrame({"a": range(5), "b": list("vwxyz")})
    for op in (do, dopar):
        assert_array_equal(foreach(i=range(16), combine="cbind") % op % (lambda i: x[:, i]), x)
        assert_array_equal(foreach(i=range(25), combine="rbind") % op % (lambda i: x[i]), x)
        assert_array_equal(
            foreach(part=iterators.by_column(x), combine="cbind") % op % (lambda part: part), x
        )
        assert_array_equal(
            foreach(part=iterators.by_row(x, 7), combine="rbind") % op % (lambda part: part), x
        )
    assert (
        foreach(part=iterators.by_row(frame), combine="rbind") % do % (lambda part: part)
    ).equals(frame)
    assert (
        foreach(part=iterators.by_column(frame), combine="cbind") % do % (lambda part: part)
    ).equals(frame)
    assert (
        foreach(part=iterators.by_row(frame, 2), combine="concat") % do % (lambda part: part)
    ).equals(frame)


@on_both
@pytest.mark.usefixtures("way")
def test_sums_products_and_a_variadic_adder() -> None:
    x = np.random.default_rng(1).normal(size=100)
    assert_allclose(foreach(i=range(100), combine="+").dopar(lambda i: x[i]), x.sum())
    assert_allclose(foreach(i=range(100), combine="*").dopar(lambda i: x[i]), x.prod())

    def add(*values: int) -> int:
        return sum(values)

    for op, multi in itertools.product((do, dopar), (True, False)):
        assert foreach(i=range(1, 11), combine=add, multicombine=multi) % op % (lambda i: i) == 55


@on_both
@pytest.mark.usefixtures("way")
def test_the_three_ways_with_errors() -> None:
    with pytest.raises(TaskError, match="boom") as caught:
        foreach(i=range(1, 4)).dopar(fails_at)
    assert caught.value.index == (1,)
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(TaskError) as caught:
        (foreach(i=[1, 2]) % foreach(j=range(3), errors="stop")).dopar(
            lambda i, j: fails_at(i * j, 4)
        )
    assert caught.value.index == (1, 2)
    assert foreach(i=range(1, 4), errors="remove").dopar(fails_at) == [1, 3]
    assert foreach(i=range(1, 4), errors="remove").dopar(lambda i: fails_at(2)) == []
    one, error, three = foreach(i=range(1, 4), errors="pass").dopar(fails_at)
    assert (one, str(error), three) == (1, "boom", 3)
    assert foreach(i=range(3)).nest(j=range(10), errors="remove").dopar(
        lambda i, j: fails_at(2)
    ) == [[], [], []]
    evens = foreach(i=range(10), errors="remove").dopar(lambda i: fails_at(2) if i % 2 == 0 else i)
    assert evens == [1, 3, 5, 7, 9]
    with pytest.raises(CombineError, match="combine="):
        foreach(i=range(4), combine=lambda a, b: a / 0).dopar(lambda i: i)


@on_both
@pytest.mark.usefixtures("way")
def test_what_a_function_refers_to_goes_with_it() -> None:
    table = {"a": 1, "b": 2}
    assert (
        foreach(k=["a", "b"]).dopar(lambda k: table[k])
        == foreach(k=["a", "b"]).do(lambda k: table[k])
        == [1, 2]
    )

    def one_more(x: int) -> int:
        return x + 1

    def doubled(x: int) -> int:
        return one_more(x) * 2

    assert foreach(range(4)).dopar(lambda: doubled(1)) == [4, 4, 4, 4]
    # Exported.
    assert foreach(i=[1, 2], export={"scale": 10}).dopar(lambda i: i * scale) == [10, 20]  # type: ignore[name-defined]  # noqa: F821
    with pytest.raises(TaskError, match="'nosuchpackage' cannot be imported where the task runs"):
        foreach(i=[1], packages=["nosuchpackage"]).dopar(lambda i: i)
    with pytest.raises(TaskError, match="name 'operator' is not defined"):
        foreach(i=[1], noexport=["operator"]).dopar(lambda i: operator.neg(i))


@on_both
@pytest.mark.usefixtures("way")
def test_packages_stand_among_the_functions_globals() -> None:
    loop = foreach(i=[1, 4], packages=["fractions", "os.path"])
    # Packages=.
    assert loop.dopar(lambda i: (str(fractions.Fraction(i, 8)), os.path.basename("a/b"))) == [  # type: ignore[name-defined]  # noqa: F821
        ("1/8", "b"),
        ("1/2", "b"),
    ]


@on_both
@pytest.mark.usefixtures("way")
def test_loops_within_tasks() -> None:
    def ten_times(i: int) -> list[int]:
        from dolambda import foreach  # noqa: PLC0415 - in the task

        return foreach(k=range(10)).do(lambda k: 11) if i >= 0 else []

    assert foreach(i=range(25)).dopar(ten_times) == [[11] * 10] * 25

    def row(j: int) -> Any:
        from dolambda import dopar, foreach  # noqa: PLC0415 - as above

        return foreach(k=range(1, 11), combine="c") % dopar % (lambda k: j + k)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # in loky's processes nothing is registered
        assert foreach(j=range(0, 100, 10), combine="c").dopar(row) == list(range(1, 101))


@on_both
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("size", "count"),
    [(100, 1000), (10_000, 200), pytest.param(10_000, 1000, marks=pytest.mark.soak)],
)
def test_a_thousand_vectors(size: int, count: int) -> None:
    def vectors() -> Iterator[Any]:
        return iterators.irandom(np.random.default_rng(0).random, size, count=count)

    total = foreach(x=vectors(), combine="+").dopar(lambda x: np.sqrt(x))
    assert_allclose(total, sum(np.sqrt(x) for x in vectors()))


@on_both
@pytest.mark.usefixtures("way")
def test_when_between_and_within_loops() -> None:
    def odd(n: int) -> bool:
        return n % 2 == 1

    def pairs(**outer: Any) -> Any:
        loop = (
            foreach(i=range(1, 6), **outer)
            % when(lambda i: odd(i))
            % foreach(j=range(1, 6))
            % when(lambda i, j: odd(j) and i != j)
        )
        return loop % dopar % (lambda i, j: (i, j))

    nested = [[(1, 3), (1, 5)], [(3, 1), (3, 5)], [(5, 1), (5, 3)]]
    assert pairs() == nested
    assert pairs(combine="c") == list(itertools.chain.from_iterable(nested))


def test_quicksort_by_when() -> None:
    def sort(x: list[float]) -> list[float]:
        if not x:
            return x
        pivot, *rest = x
        low = foreach(y=rest, combine="c").when(lambda y: y <= pivot).do(lambda y: y) or []
        high = foreach(y=rest, combine="c").when(lambda y: y > pivot).do(lambda y: y) or []
        return [*sort(low), pivot, *sort(high)]

    x = list(np.random.default_rng(0).random(100))
    assert sort(x) == sorted(x)


# Randomness: doRNG's facts, and what it does not have


@on_both
@pytest.mark.usefixtures("way")
def test_one_seed_gives_the_same_numbers_everywhere_and_always() -> None:
    def draw(i: int, rng: Any) -> float:
        return float(rng.random()) if i >= 0 else 0.0

    expected = [
        float(np.random.default_rng(np.random.SeedSequence(42, spawn_key=(i,))).random())
        for i in range(40)
    ]
    loop = foreach(i=range(40), seed=42)
    assert (
        loop.do(draw) == loop.dopar(draw) == foreach(i=range(40), seed=42).dopar(draw) == expected
    )
    assert foreach(i=range(10), seed=42).dopar(draw) == expected[:10]
    assert foreach(range(40), seed=42).dopar(lambda rng: float(rng.random())) == expected
    assert foreach(i=range(40), seed=42, options={"dolambda": {"batch": 3}}).dopar(draw) == expected
    assert list(loop.stream(draw)) == expected
    found = loop.dopar(draw)
    assert (found.seed, loop.seed) == (42, 42)
    unseeded = foreach(i=range(3)).dopar(draw)
    assert foreach(i=range(3), seed=unseeded.seed).dopar(draw) == unseeded
    assert foreach(i=range(3)).dopar(draw) != unseeded


def test_nested_loops_and_conditions_do_not_shift_streams() -> None:
    def draw(i: int, j: int, rng: Any) -> float:
        return float(rng.random()) if i + j >= 0 else 0.0

    whole = (foreach(i=range(3), seed=1) % foreach(j=range(4))).do(draw)
    some = (foreach(i=range(3), seed=1) % foreach(j=range(4)) % when(lambda j: j != 1)).do(draw)
    assert some == [[row[0], *row[2:]] for row in whole]
    assert (
        whole[2][3] == np.random.default_rng(np.random.SeedSequence(1, spawn_key=(2, 3))).random()
    )


def test_retries_draw_the_same_again(session: Session, tmp_path: Any) -> None:
    def flaky(i: int, folder: str, rng: Any) -> float:
        from pathlib import Path  # noqa: PLC0415 - in the task

        value = float(rng.random())
        tried = Path(folder, str(i))
        if not tried.exists():
            tried.touch()
            raise OSError(i)
        return value

    with LambdaExecutor(retries=1) as executor:
        found = list(executor.map(flaky, range(4), [str(tmp_path)] * 4, seed=5))
    assert found == [
        float(np.random.default_rng(np.random.SeedSequence(5, spawn_key=(i,))).random())
        for i in range(4)
    ]
    assert session.report().retried == 4


def test_global_generators_are_seeded_on_request_and_warned_of_else() -> None:
    def draw(i: int) -> tuple[float, float]:
        # The old way, which is what is seeded.
        return random.random() * i, float(np.random.random()) * i  # noqa: NPY002, S311

    seeded = foreach(i=range(1, 4), seed=7, seed_everywhere=True)
    assert seeded.do(draw) == seeded.do(draw)
    with pytest.warns(
        UserWarning, match="task 0 drew from random and numpy.random, which seed= does not seed"
    ):
        foreach(i=range(1, 4), seed=7).do(draw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        foreach(i=range(3), seed=7).do(lambda rng: rng.random())


def test_seed_everywhere_alone_draws_a_seed() -> None:
    loop = foreach(i=range(3), seed_everywhere=True)
    assert loop.seed is not None
    # What is seeded.
    assert loop.do(lambda i: random.random() + i) == loop.do(lambda i: random.random() + i)  # noqa: S311


@pytest.mark.parametrize(
    "seed",
    [(1, 2), [np.int64(1), 2], np.random.SeedSequence((1, 2))],
    ids=["tuple", "list", "SeedSequence"],
)
def test_seeds_of_other_kinds(seed: Any) -> None:
    expected = float(np.random.default_rng(np.random.SeedSequence((1, 2), spawn_key=(0,))).random())
    assert foreach(i=[0], seed=seed).do(lambda rng: float(rng.random())) == [expected]


# Streams


@on_both
@pytest.mark.usefixtures("way")
def test_endless_iterables_stream_and_are_taken_from_only_as_results_are() -> None:
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        for n in itertools.count():
            taken += 1
            yield n

    stream = foreach(i=numbers()).stream(lambda i: i * i)
    assert list(itertools.islice(stream, 30)) == [i * i for i in range(30)]
    before = taken
    time.sleep(0.3)
    assert taken == before
    stream.close()  # type: ignore[attr-defined] # it is a generator
    unordered = foreach(i=range(50)).stream(lambda i: i, ordered=False)
    assert sorted(unordered) == list(range(50))


@on_both
@pytest.mark.usefixtures("way")
def test_streams_of_nested_loops_skip_those_that_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dolambda.loops.walk._HELD", 5)
    for ordered in (True, False):
        stream = (
            foreach(i=range(100))
            .nest(j=lambda i: [i] if i % 20 == 0 else [])
            .stream(lambda i, j: i + j, ordered=ordered)
        )
        assert sorted(stream) == [0, 40, 80, 120, 160]


@pytest.mark.usefixtures("unregistered")
def test_a_stream_on_joblib_leaves_joblibs_configuration_alone() -> None:
    set_backend("threading", workers=2)
    before = type(joblib.parallel.get_active_backend()[0])
    stream = foreach(i=range(100)).stream(lambda i: i)
    assert next(stream) == 0
    assert type(joblib.parallel.get_active_backend()[0]) is before


@pytest.mark.usefixtures("session")
def test_one_map_feeds_another() -> None:
    with LambdaExecutor() as executor:
        first = executor.map(operator.neg, range(50), buffersize=4)
        assert list(executor.map(abs, first, buffersize=4)) == list(range(50))


def test_a_slow_first_task_does_not_let_results_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dolambda.loops.walk._HELD", 10)
    pulled = 0

    class Late:
        """A backend on which the first task is done last of all that may be sent."""

        name, version, workers = "late", "1", 1

        # A backend's signature.
        def run(self, calls: Any, *, options: Any) -> Iterator[Any]:  # noqa: ARG002
            nonlocal pulled
            first: Any = None
            for number, call in enumerate(calls):
                if call is None:
                    yield 0, backends.attempt(*first)
                    first = None
                    break
                pulled += 1
                if number:
                    yield number, backends.attempt(*call)
                else:
                    first = call
            for more, call in enumerate(calls, pulled):
                yield more, backends.attempt(*call)
            if first:
                yield 0, backends.attempt(*first)

    assert foreach(i=range(100), combine="c").run(lambda i: i, Late()) == list(range(100))
    assert pulled <= 12


def test_an_error_in_a_stream_cancels_the_rest(session: Session) -> None:
    stream = foreach(i=range(1000), options={"dolambda": {"batch": 1}}).stream(
        lambda i: fails_at(i, 3)
    )
    with pytest.raises(TaskError, match=r"task 3 \(i=3\) raised"):
        list(stream)
    assert session.report().done < 100
    assert session.bucket is not None
    assert session.bucket.list("jobs/") == []


@pytest.mark.usefixtures("session")
def test_a_slow_task_does_not_keep_those_behind_it_from_being_sent() -> None:
    def when(i: int) -> tuple[float, float]:
        begun = time.time()
        time.sleep(0 if i else 3)
        return begun, time.time()

    (_, ended), *others = foreach(i=range(100)).dopar(when)
    assert sum(begun < ended for begun, _ in others) > 2 * 8  # more than are sent at first


def test_memory_is_bounded_where_combine_reduces() -> None:
    tracemalloc.start()
    assert (
        foreach(i=range(10_000), combine="+").nest(j=[1], combine="+").do(lambda i, j: i * j)
        == 9_999 * 5_000
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000  # a list of the results alone would take twice as much


# Backends and faces


@pytest.mark.usefixtures("unregistered")
def test_unregistered_it_warns_once_and_runs_here() -> None:
    with pytest.warns(UserWarning, match="no backend is registered") as warned:
        assert foreach(i=range(3)) % dopar % (lambda i: i) == [0, 1, 2]
    assert [warning.filename for warning in warned] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert foreach(i=range(3)).dopar(lambda i: i) == [0, 1, 2]
    assert get_backend().name == "seq"


@pytest.mark.usefixtures("unregistered")
def test_any_backend_of_joblibs_by_name_or_instance() -> None:
    # joblib's own name for it.
    from joblib._parallel_backends import ThreadingBackend  # noqa: PLC0415

    here: list[int] = []
    for backend in ("threading", ThreadingBackend()):
        set_backend(backend, workers=2)
        foreach(i=range(10)).dopar(lambda i: here.append(i))
        assert get_backend().workers == 2
    assert sorted(here) == sorted([*range(10), *range(10)])
    set_backend("loky", workers=3)
    backend = get_backend()
    assert (backend.name, backend.workers) == ("loky", 3)
    with pytest.raises(
        ConfigurationError,
        match="backend='nosuch' is not a joblib backend\n  Use one of seq, dolambda, ",
    ):
        set_backend("nosuch")


def test_pythons_face_is_the_same_as_rs() -> None:
    loop = (
        foreach(i=range(3), combine="+")
        .when(lambda i: i != 1)
        .nest(j=lambda i: range(i + 1), combine="+")
    )
    assert loop.do(lambda i, j: i + j) == foreach(i=range(3), combine="+") % when(
        lambda i: i != 1
    ) % foreach(j=lambda i: range(i + 1), combine="+") % do % (lambda i, j: i + j)
    assert times(3, combine="+").do(lambda: 2) == 6
    assert foreach(x=[1.0, 4.0]).do(math.sqrt) == [1.0, 2.0]
    assert foreach(x=[1, 2], y=[3, 4]).do(functools.partial(operator.add)) == [4, 6]
    assert foreach(x=[1], y=[2]).do(lambda **all_of_them: all_of_them) == [{"x": 1, "y": 2}]


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (
            lambda: foreach(i=[1]).do(lambda k: k),
            "the function takes k, which the loop does not have",
        ),
        # The mistake.
        (lambda: foreach(i=[1]) % when(3), "when.3. was not given a function"),  # type: ignore[arg-type]
        (
            lambda: (foreach(i=[1]) % foreach(j=lambda i: i)).do(lambda j: j),
            "foreach: j=1 is not something to iterate over",
        ),
        (lambda: foreach(i=[1], seed=-1), "seed=-1 is not a seed"),
        (lambda: foreach(i=[1], seed=0.5), "seed=0.5 is not a seed"),
        (lambda: foreach(i=[1], combine="+").stream(lambda i: i), "stream.. combines nothing"),
        (lambda: foreach(i=[1], export={"a": 1}).do(len), "has no globals of its own"),
        # The mistake.
        (lambda: foreach(i=[1], multicombine=1), ("multicombine=1 is neither True nor False")),  # type: ignore[arg-type]
    ],
)
def test_mistakes_are_named(mistake: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        mistake()
