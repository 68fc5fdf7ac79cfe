"""The transport for debugging: the same faces, no AWS, no other process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest

from dolambda import LambdaExecutor, foreach, register, unregister
from dolambda.errors import ConfigurationError
from dolambda.loops import chosen_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    register(transport="in_process", workers=2, progress=False)
    yield
    unregister()


def test_tasks_run_in_this_very_process() -> None:
    assert foreach(i=range(3)).dopar(lambda i: (os.getpid(), i)) == [
        (os.getpid(), i) for i in range(3)
    ]
    assert set(joblib.Parallel(n_jobs=-1)(joblib.delayed(os.getpid)() for _ in range(4))) == {
        os.getpid()
    }
    with LambdaExecutor() as executor:
        assert list(executor.map(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]


def nested_in_joblib(most: int) -> list[int]:
    calls = joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(i) for i in range(most))
    return list(calls)


def nested_in_foreach(most: int) -> list[int]:
    values = foreach(i=range(most)).dopar(lambda i: i)
    return list(values)


@pytest.mark.parametrize("nested", [nested_in_joblib, nested_in_foreach])
def test_nested_calls_run_in_their_task(nested: Callable[[int], list[int]]) -> None:
    expected = [list(range(most)) for most in range(3)]
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(nested)(i) for i in range(3)) == expected
    assert foreach(most=range(3)).dopar(nested) == expected
    with LambdaExecutor() as executor:
        assert list(executor.map(nested, range(3))) == expected


_SHARED: list[LambdaExecutor] = []


def submit_to_the_shared_executor() -> object:
    return _SHARED[0].submit(abs, -3).result()


@pytest.mark.parametrize("task", [LambdaExecutor, submit_to_the_shared_executor])
def test_an_executor_in_a_task_is_refused_as_on_a_worker(task: Callable[[], object]) -> None:
    with LambdaExecutor() as executor:
        _SHARED[:] = [executor]
        error = executor.submit(task).exception(30)
    assert isinstance(error, ConfigurationError)
    assert "workers have no client" in str(error)


def fed(array: np.ndarray[Any, Any]) -> Iterator[Any]:
    for i in range(6):
        array[:] = i
        yield joblib.delayed(np.mean)(array)


def test_a_generator_may_fill_one_array_again() -> None:
    found = joblib.Parallel(n_jobs=2, pre_dispatch="all")(fed(np.zeros(300_000)))
    # joblib takes as many calls off a generator at a time as there are workers.
    assert found == [1.0, 1.0, 3.0, 3.0, 5.0, 5.0]
    innocent = (joblib.delayed(np.mean)(np.full(300_000, float(i))) for i in range(6))
    assert joblib.Parallel(n_jobs=2)(innocent) == [float(i) for i in range(6)]


def test_an_array_may_change_between_two_calls_of_one_parallel() -> None:
    array = np.zeros(300_000)
    with joblib.Parallel(n_jobs=2) as parallel:
        for i in range(3):
            array[17] = i
            assert parallel(joblib.delayed(np.max)(array) for _ in range(2)) == [i, i]


def test_unregistered_runs_as_before(recwarn: pytest.WarningsRecorder) -> None:
    unregister()
    chosen_backend._warned = False  # an earlier test may have been warned
    assert joblib.parallel.DEFAULT_BACKEND == "loky"
    assert foreach(i=range(3)).dopar(lambda i: -i) == [0, -1, -2]
    assert [
        str(warning.message)
        for warning in recwarn
        if "no backend is registered" in str(warning.message)
    ]
