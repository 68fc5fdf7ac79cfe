"""What a loop gives each group, run and function: nothing shared, nothing silently without
effect.
"""

from __future__ import annotations

import functools
import io
import itertools
import math
import threading
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pytest

from dolambda import Session, do, dopar, foreach, register, unregister
from dolambda.errors import ConfigurationError, TaskError
from dolambda.loops.function import as_sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.loops import Operator

GLOBAL = 1


@pytest.fixture(params=["do", "dopar"])
def op(request: pytest.FixtureRequest) -> Iterator[Operator]:
    """Here and, pickled, through the whole journey in this process."""
    if request.param == "do":
        yield do
        return
    session: Session = register(transport="in_process", progress=False)
    with session:
        yield dopar
    unregister()


# export and noexport


def closing_over(b: int) -> Callable[[int], int]:
    return lambda i: i * b


def counting_down() -> Callable[[int], list[int]]:
    step = 1

    def count(i: int) -> list[int]:
        return [i, *count(i - step)] if i > 0 else []

    return count


def decorated() -> Callable[[int], int]:
    b = 1

    def logged(function: Callable[[int], int]) -> Callable[[int], int]:
        @functools.wraps(function)
        def wrapper(i: int) -> int:
            return function(i)

        return wrapper

    @logged
    def scaled(i: int) -> int:
        return i * b

    return scaled


def nested_inside() -> Callable[[int], list[int]]:
    b = 1
    return lambda i: [j * b for j in range(i)]


@pytest.mark.parametrize(
    ("function", "export", "expected"),
    [
        (closing_over(1), {"b": 10}, [0, 10, 20]),
        (lambda i: i * GLOBAL, {"GLOBAL": 10}, [0, 10, 20]),
        (counting_down(), {"step": 2}, [[], [1], [2]]),
        (decorated(), {"b": 10}, [0, 10, 20]),
        (nested_inside(), {"b": 10}, [[], [0], [0, 10]]),
        (functools.partial(closing_over(1)), {"b": 10}, [0, 10, 20]),
        (functools.partial(lambda i, by: i * by * GLOBAL, by=2), {"GLOBAL": 10}, [0, 20, 40]),
    ],
)
def test_export_reaches_globals_and_closures(
    op: Operator, function: Callable[..., Any], export: dict[str, Any], expected: list[Any]
) -> None:
    assert foreach(i=range(3), export=export) % op % function == expected
    assert foreach(i=range(2)) % op % closing_over(1) == [0, 1]  # nothing of it stays


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (closing_over(1), "b"),
        (lambda i: i * GLOBAL, "GLOBAL"),
        (decorated(), "b"),
        (functools.partial(closing_over(1)), "b"),
    ],
)
def test_noexport_leaves_a_variable_undefined(
    op: Operator, function: Callable[..., Any], name: str
) -> None:
    with pytest.raises(TaskError, match=name) as caught:
        foreach(i=range(1), noexport=[name]) % op % function
    assert isinstance(caught.value.__cause__, NameError)
    assert function(1) == 1


def test_what_noexport_names_does_not_travel() -> None:
    data = "secret" * 10_000

    def size() -> int:
        return len(data)

    plain = as_sent(size, packages=(), export={}, noexport=())
    without = as_sent(size, packages=(), export={}, noexport=("data",))
    assert len(cloudpickle.dumps(plain)) > 60_000
    assert b"secret" not in cloudpickle.dumps(without)


@pytest.mark.parametrize("option", [{"export": {"b": 10}}, {"noexport": ["b"]}])
def test_what_a_parameter_hides_is_refused(option: dict[str, Any]) -> None:
    for function in (lambda i, b=1: i * b, lambda i, *, b=1: i * b):
        with pytest.raises(ConfigurationError, match="b, which is a parameter of the function"):
            foreach(i=range(3), **option).do(function)
    with pytest.raises(ConfigurationError, match="has no globals of its own"):
        foreach(i=range(3), **option).do(math.sqrt)


# packages


class Scaled:
    """Callable, and with a method."""

    def __call__(self, i: int) -> Any:
        # Packages= defines it.
        return colorsys.rgb_to_hsv(i, i, i)  # type: ignore[name-defined]  # noqa: F821

    def method(self, i: int) -> Any:
        return self(i)


@pytest.mark.parametrize(
    "function",
    [
        lambda i: colorsys.rgb_to_hsv(i, i, i),  # type: ignore[name-defined]  # noqa: F821
        functools.partial(lambda i, s: colorsys.rgb_to_hsv(i, i, i + s), s=0),  # type: ignore[name-defined]  # noqa: F821
        functools.partial(
            functools.partial(lambda i, s, t: colorsys.rgb_to_hsv(i, i, s + t), s=0),  # type: ignore[name-defined]  # noqa: F821
            t=0,
        ),
        Scaled(),
        Scaled().method,
        functools.partial(Scaled().method),
    ],
)
def test_packages_are_names_in_whatever_is_called(
    op: Operator, function: Callable[..., Any]
) -> None:
    assert foreach(i=range(1), packages=["colorsys"]) % op % function == [(0.0, 0.0, 0)]


# init


def append(everything: list[Any], one: Any) -> list[Any]:
    everything.append(one)
    return everything


def put(everything: dict[Any, Any], one: Any) -> dict[Any, Any]:
    everything[one] = True
    return everything


def add(total: Any, one: Any) -> Any:
    total += one
    return total


def test_each_group_and_run_begins_with_its_own_init(op: Operator) -> None:
    begin: list[Any] = []
    nested = foreach(i=range(3)) % foreach(j=range(2), combine=append, init=begin)
    for _ in range(2):
        assert nested % op % (lambda i, j: (i, j)) == [[(i, 0), (i, 1)] for i in range(3)]
    assert begin == []
    for loop, value in (
        (foreach(i=range(2), combine=put, init={}), {0: True, 1: True}),
        (foreach(i=range(2), combine=append, init=[[]]), [[], 0, 1]),
    ):
        assert [loop % op % (lambda i: i) for _ in range(2)] == [value, value]
    arrays = foreach(i=range(3), combine=add, init=np.zeros(2))
    for _ in range(2):
        assert list(arrays % op % (lambda i: np.full(2, i))) == [3, 3]


def test_an_init_that_cannot_be_copied_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"init=.* cannot be copied"):
        foreach(i=range(2), combine=append, init=threading.Lock()).do(lambda i: i)
    made = foreach(i=range(2), combine=append, init=list)
    assert [made.do(lambda i: i) for _ in range(2)] == [[0, 1], [0, 1]]


# iterables


@pytest.mark.parametrize(
    "iterator",
    [
        iter([1, 2]),
        (j for j in range(2)),
        map(abs, [1, 2]),
        zip([1], [2], strict=True),
        itertools.count(),
        io.StringIO("a\nb"),
    ],
)
def test_an_iterator_in_an_inner_loop_is_refused(iterator: Any) -> None:
    for nest in (
        lambda: foreach(i=range(3)) % foreach(j=iterator),
        lambda: foreach(i=range(3)).nest(j=iterator),
        lambda: foreach(i=range(3)).nest(j=range(2)).nest(k=iterator),
        lambda: foreach(i=range(3)) % (foreach(j=range(2)) % foreach(k=iterator)),
    ):
        with pytest.raises(ConfigurationError, match="of an inner loop is an iterator"):
            nest()
    with pytest.raises(ConfigurationError, match="argument 1 of an inner loop"):
        foreach(i=range(3)).nest(iterator)
    with pytest.raises(ConfigurationError, match="j= of an inner loop is an iterator"):
        (foreach(i=range(3)) % foreach(j=lambda: iterator, k=range(1))).do(lambda j: j)
    assert (foreach(i=range(2)) % foreach(j=lambda: iter([1, 2]))).do(lambda j: j) == [[1, 2]] * 2
    assert foreach(i=iter([1, 2])).do(lambda i: i) == [1, 2]


@pytest.mark.parametrize(
    ("loop", "said"),
    [
        (lambda: foreach(i=np.array(3)), "i=array(3) is not something to iterate over"),
        # The mistake.
        (lambda: foreach(5), "foreach: argument 1, 5, is not something to iterate over"),  # type: ignore[arg-type]
        (lambda: foreach([1], "ab"), "argument 2, 'ab', is not something"),
        (lambda: foreach(i=list).do(lambda i: i), "i=<class 'list'> is not something"),
        (lambda: foreach(i=lambda: np.array(3)).do(lambda i: i), "i=array(3) is not something"),
        (lambda: foreach(i=[1], eror="stop"), "Did you mean errors=?"),
        (lambda: foreach(i=[1], combin="+"), "Did you mean combine=?"),
        (lambda: foreach(i=[1], package="numpy"), "Did you mean packages=?"),
        (lambda: foreach(i=[1], no_export="x"), "Did you mean noexport=?"),
    ],
)
def test_what_cannot_be_iterated_over_is_said_clearly(loop: Callable[[], Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loop()
    assert said in str(caught.value)


def test_a_failed_task_is_told_by_its_variables_and_error() -> None:
    class Silent(Exception):  # noqa: N818 - the test's
        def __str__(self) -> str:
            raise RuntimeError

    def fails(i: int, word: str, array: Any) -> None:  # noqa: ARG001 - what a loop hands over
        raise ZeroDivisionError("division by zero")

    with pytest.raises(TaskError) as caught:
        foreach(i=[4], word=["x"], array=[np.zeros(3)]).do(fails)
    assert "task 0 (i=4, word='x') raised ZeroDivisionError: division by zero" in str(caught.value)

    def silent(i: int) -> None:  # noqa: ARG001 - as above
        raise Silent

    with pytest.raises(TaskError, match="raised Silent"):
        foreach(i=[4]).do(silent)


def pair(p: Any = None, q: Any = None, r: Any = None) -> tuple[Any, Any, Any]:
    return p, q, r


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda q: q, [0, 1]),
        (lambda q, p: (q, p), [(0, "a"), (1, "b")]),
        (lambda r, q: (r, q), [(10, 0), (11, 1)]),
        (lambda: 7, [7, 7]),
        (pair, [("a", 0, 10), ("b", 1, 11)]),
    ],
)
def test_an_iterator_is_asked_only_while_those_before_it_have_more(
    op: Operator, function: Callable[..., Any], expected: list[Any]
) -> None:
    middle, last = iter(range(5)), iter(range(10, 20))
    assert foreach(p=["a", "b"], q=middle, r=last) % op % function == expected
    assert list(middle) == [2, 3, 4]
    assert list(last) == list(range(12, 20))
