"""The transport for debugging: the same faces, no AWS, no other process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import joblib
import pytest

from dolambda import LambdaExecutor, foreach, register, unregister

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    register(transport="in_process", workers=2, progress=False)
    yield
    unregister()


def test_tasks_run_in_this_very_process() -> None:
    assert foreach(i=range(3)).dopar(lambda i: (os.getpid(), i)) == [
        (os.getpid(), i) for i in range(3)
    ]
    assert set(joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(4))) == {os.getpid()}
    with LambdaExecutor() as executor:
        assert list(executor.map(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]


def test_unregistered_runs_as_before(recwarn: pytest.WarningsRecorder) -> None:
    unregister()
    assert joblib.parallel.DEFAULT_BACKEND == "loky"
    assert foreach(i=range(3)).dopar(lambda i: -i) == [0, -1, -2]
    assert [
        str(warning.message)
        for warning in recwarn
        if "no backend is registered" in str(warning.message)
    ]
