from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dolambda.errors import NotPicklableError
from dolambda.scheduler.futures import TaskFuture
from dolambda.wire import pickling

plain = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
)
nested = st.recursive(
    plain,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(nested).map(tuple), st.dictionaries(st.text(), nested))
def test_calls_come_back_as_they_were(args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    payload, apart = pickling.dump_call(args, kwargs)
    assert pickling.load(payload, apart) == (args, kwargs)


@pytest.mark.parametrize(("rows", "leaves"), [(10, False), (pickling.APART // 8, True)])
def test_only_large_buffers_leave_the_pickle(rows: int, leaves: bool) -> None:
    array = np.arange(rows, dtype=float)
    payload, apart = pickling.dump(array, "x")
    assert bool(apart) is leaves
    assert (len(payload) < 1000) is leaves or rows == 10
    np.testing.assert_array_equal(pickling.load(payload, apart), array)


def test_fortran_order_and_slices_survive() -> None:
    array = np.asfortranarray(np.arange(200_000.0).reshape(1000, 200))
    for value in (array, array[::2, 1:], array.T):
        payload, apart = pickling.dump(value, "x")
        np.testing.assert_array_equal(pickling.load(payload, apart), value)


def test_buffers_given_back_read_only_make_read_only_arrays() -> None:
    payload, apart = pickling.dump(np.zeros(100_000), "x")
    assert not pickling.load(payload, [view.toreadonly() for view in apart]).flags.writeable


class Model:
    def __init__(self) -> None:
        self.settings = {"lock": threading.Lock()}


def refusal(*args: object, **kwargs: object) -> str:
    with pytest.raises(NotPicklableError) as refused:
        pickling.dump_call(args, kwargs)
    return str(refused.value)


def test_the_culprit_among_arguments_is_named_as_the_user_wrote_it() -> None:
    lock = threading.Lock()
    assert refusal(1, {"conn": lock}).startswith("argument 2['conn'] cannot be pickled: lock (")
    assert refusal(Model()).startswith("argument 1.settings['lock'] cannot be pickled: lock")
    assert refusal(x=Model()).startswith("keyword x.settings['lock'] cannot be pickled: lock")
    assert refusal(functools.partial(len, [lock])).startswith("argument 1.args[0][0] cannot")
    assert refusal({lock}).startswith("an item of argument 1 cannot be pickled: lock")
    assert "make it inside the task" in refusal(lock)


def test_the_culprit_in_a_function_is_named() -> None:
    lock = threading.Lock()

    def task() -> object:
        return lock, later

    with pytest.raises(NotPicklableError, match=r"^closure variable lock of the function f cannot"):
        pickling.dump(task, "the function f")
    later = 1

    namespace: dict[str, Any] = {"_lock": {"one": lock}, "__name__": "__main__"}
    # A main program's.
    exec("def f():\n    return [_lock for _ in range(3)]", namespace)  # noqa: S102
    with pytest.raises(
        NotPicklableError, match=r"^global _lock\['one'\] of the function f cannot be pickled: lock"
    ):
        pickling.dump(namespace["f"], "the function f")


class LooksUpKeys:
    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> object:
        return self.__dict__[name]


class Endless:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __getattr__(self, name: str) -> Endless:
        return self


class Unreadable:
    """Even its text cannot be made."""

    def __reduce__(self) -> tuple[object, ...]:
        raise SilentError

    def __hash__(self) -> int:
        return 1

    def __repr__(self) -> str:
        raise SilentError


class SilentError(Exception):
    def __str__(self) -> str:
        raise KeyError("no text")


def test_the_search_for_the_culprit_never_raises() -> None:
    assert refusal(LooksUpKeys(lock=threading.Lock())).startswith("argument 1.lock cannot")
    assert refusal(Endless()).startswith("argument 1")
    assert refusal(Unreadable()).startswith(
        "argument 1 cannot be pickled: Unreadable (SilentError:"
    )
    assert "cannot be pickled" in refusal({Unreadable(): 1})


def test_content_is_the_same_wherever_the_code_was_written() -> None:
    def made(file: str) -> object:
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(compile("def f(x):\n    return x + 1", file, "exec"), namespace)  # noqa: S102
        return namespace["f"]

    one, two = made("/somewhere/cell-1.py"), made("/elsewhere/cell-2.py")
    pickles = [pickling.dump(function, "f")[0] for function in (one, two)]
    assert pickles[0] != pickles[1]
    contents = [pickling.content_of(*pair) for pair in zip((one, two), pickles, strict=True)]
    assert contents[0] == contents[1]
    plain, _ = pickling.dump_call((1, "a"), {})
    assert pickling.content_of(((1, "a"), {}), plain) is plain


def test_the_search_for_the_culprit_ends_at_dolambdas_own_objects() -> None:
    future: TaskFuture[None] = TaskFuture()
    assert refusal([future]).startswith("argument 1[0] cannot be pickled: TaskFuture (")
