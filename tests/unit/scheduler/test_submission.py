"""Objects of the user that submit tasks, or wait for them, while they are pickled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dolambda import LambdaExecutor, foreach, register, unregister

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

DEADLINE = 30.0


@pytest.fixture
def executor() -> Iterator[LambdaExecutor]:
    with register(transport="in_process", workers=2, progress=False):
        with LambdaExecutor() as opened:
            assert opened.submit(abs, -1).result(DEADLINE) == 1  # from now on its thread runs
            yield opened
        unregister()


class Lazy:
    """A number that another task computes. It is waited for when it is pickled."""

    def __init__(self, future: Callable[[], Future[int]]) -> None:
        self._future = future

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (self._future().result(DEADLINE),)


def by_submit(executor: LambdaExecutor, numbers: list[Any]) -> list[int]:
    return [future.result(DEADLINE) for future in [executor.submit(abs, one) for one in numbers]]


def by_map(executor: LambdaExecutor, numbers: list[Any]) -> list[int]:
    return list(executor.map(abs, numbers, timeout=DEADLINE))


def by_foreach(_: LambdaExecutor, numbers: list[Any]) -> list[int]:
    return list(foreach(i=numbers).dopar(abs))


@pytest.mark.parametrize("send", [by_submit, by_map, by_foreach])
def test_an_argument_may_wait_for_an_earlier_task(
    executor: LambdaExecutor, send: Callable[[LambdaExecutor, list[Any]], list[int]]
) -> None:
    earlier = [executor.submit(abs, -i) for i in range(5)]
    lazy = [Lazy(lambda future=future: future) for future in earlier]  # type: ignore[misc]
    assert send(executor, lazy) == list(range(5))


@pytest.mark.parametrize("send", [by_submit, by_map, by_foreach])
def test_an_argument_may_submit_a_task_and_wait_for_it(
    executor: LambdaExecutor, send: Callable[[LambdaExecutor, list[Any]], list[int]]
) -> None:
    numbers: list[Any] = [Lazy(lambda i=i: executor.submit(abs, -i)) for i in range(5)]  # type: ignore[misc]
    assert send(executor, [*numbers, -9]) == [*range(5), 9]
