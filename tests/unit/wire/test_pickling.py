from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dolambda.errors import NotPicklableError
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


def test_the_culprit_is_named() -> None:
    with pytest.raises(
        NotPicklableError,
        match=r"^\[0\]\[0\].settings\['lock'\] of the arguments of a task cannot be pickled: lock",
    ):
        pickling.dump_call((Model(),), {})


def test_the_culprit_in_a_closure_is_named() -> None:
    lock = threading.Lock()
    with pytest.raises(
        NotPicklableError,
        match=r"^lock of the function cannot be pickled: lock .*\n.*make it inside the task",
    ):
        pickling.dump(lambda: lock, "the function")
