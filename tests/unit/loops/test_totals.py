"""The total of a loop is known from the start, where it can be known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dolambda import foreach, register, unregister

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda import Report


@pytest.fixture
def reports() -> Iterator[list[Report]]:
    kept: list[Report] = []
    with register(transport="in_process", workers=2, progress=kept.append):
        yield kept
        unregister()


def numbers() -> Iterator[int]:
    yield from range(50)


def one(i: int) -> int:
    return i


def two(j: int, i: int) -> int:
    return i + j


@pytest.mark.parametrize(
    ("function", "iterables", "total"),
    [
        (one, {"i": range(50)}, 50),
        (one, {"i": list(range(50))}, 50),
        (two, {"i": range(50), "j": range(40)}, 40),
        (one, {"i": (x for x in range(50))}, 50),
    ],
)
def test_the_total_is_right_from_the_start(
    reports: list[Report], function: Callable[..., int], iterables: dict[str, Any], total: int
) -> None:
    foreach(**iterables).dopar(function)
    assert {(report.expected, report.open_ended) for report in reports} == {(total, False)}


def test_a_total_that_cannot_be_known_is_open_ended(reports: list[Report]) -> None:
    foreach(i=numbers()).dopar(one)
    assert all(report.open_ended for report in reports)
    assert reports[-1].expected == 50
