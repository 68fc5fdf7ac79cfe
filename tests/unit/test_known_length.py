from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.known_length import known_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def generator() -> Iterator[int]:
    yield from range(3)


class Hinted:
    """An iterator that only guesses."""

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        raise StopIteration

    def __length_hint__(self) -> int:
        return 1000


def half_taken() -> Iterable[int]:
    items = (x for x in range(10))
    next(items)
    next(items)
    return items


xs = list(range(7))
some: list[int | None] = [1, None]

KNOWN: list[tuple[Callable[[], Iterable[Any]], int]] = [
    (lambda: xs, 7),
    (lambda: range(10**12), 10**12),
    (lambda: iter(xs), 7),
    (lambda: {"a": 1}.items(), 1),
    (lambda: (x for x in xs), 7),
    (lambda: ((len, (x,), {}) for x in range(1000)), 1000),
    (lambda: (y for y in (x for x in xs)), 7),
    (lambda: (pair for pair in zip(xs, range(5), strict=False)), 5),
    (lambda: (pair for pair in enumerate(xs)), 7),
    (lambda: (x for x in map(abs, xs)), 7),
    (lambda: (x for x in reversed(xs)), 7),
    (lambda: (x for x in "abc"), 3),
    (half_taken, 8),
    (lambda: (), 0),
]


@pytest.mark.parametrize(("made", "length"), KNOWN)
def test_it_is_known_without_taking_an_item(made: Callable[[], Iterable[Any]], length: int) -> None:
    iterable = made()
    assert known_length(iterable) == length
    assert known_length(iterable) == length
    if length < 2000:
        assert len(list(iterable)) == length


@pytest.mark.parametrize(
    "made",
    [
        generator,
        lambda: (x for x in xs if x),
        lambda: (x for x in some if x is not None),
        lambda: (x for x in xs if x > 3 and x % 2),
        lambda: (x for y in xs for x in range(y)),
        lambda: (x for x in generator()),
        lambda: (x for x in filter(None, xs)),
        lambda: itertools.count(),
        lambda: zip(xs, itertools.count(), strict=False),
        Hinted,
        lambda: (x for x in Hinted()),
        lambda: itertools.chain(xs, xs),
    ],
)
def test_a_guess_is_not_taken_for_knowledge(made: Callable[[], Iterable[Any]]) -> None:
    assert known_length(made()) is None


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="a product no longer shows its parts")
def test_a_product_as_scikit_learn_takes() -> None:
    assert known_length(x for x in itertools.product(enumerate(xs), enumerate("ab"))) == 14
    begun = itertools.product(xs, xs)
    next(begun)
    assert known_length(begun) is None


def test_generators_within_each_other_come_to_an_end() -> None:
    nested: Any = iter(xs)
    for _ in range(100):
        nested = (x for x in nested)
    assert known_length(nested) is None
