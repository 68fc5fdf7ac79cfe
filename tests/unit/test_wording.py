"""Counts, durations, dollars and lists as people read them."""

from __future__ import annotations

import pytest

from dolambda.wording import count, dollars, duration, listing


@pytest.mark.parametrize(
    ("number", "noun", "plural", "text"),
    [
        (0, "task", "", "0 tasks"),
        (1, "task", "", "1 task"),
        (2000, "task", "", "2,000 tasks"),
        (1, "reply", "replies", "1 reply"),
        (3, "reply", "replies", "3 replies"),
    ],
)
def test_counts_have_their_plural(number: int, noun: str, plural: str, text: str) -> None:
    assert count(number, noun, plural) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0001, "less than 1 ms"),
        (0.3, "300 ms"),
        (1.84, "1.8 s"),
        (2, "2 s"),
        (42.4, "42 s"),
        (60, "1 min"),
        (95, "1 min 35 s"),
        (3599.7, "1 h"),
        (15_000, "4 h 10 min"),
        (86_400 * 2 + 3600 * 5, "2 days 5 h"),
        (86_400, "1 day"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.0000"),
        (0.00001, "less than $0.0001"),
        (0.00009, "less than $0.0001"),
        (0.000274, "$0.00027"),
        (0.0004, "$0.0004"),
        (0.0034, "$0.0034"),
        (1.5, "$1.50"),
        (12345, "$12,345.00"),
    ],
)
def test_dollars(amount: float, text: str) -> None:
    assert dollars(amount) == text


def test_listings() -> None:
    assert (listing(["a"]), listing(["a", "b"])) == ("a", "a and b")
    assert listing(["a", "b", "c"], "or") == "a, b or c"
