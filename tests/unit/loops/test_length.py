from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from dolambda import foreach, iterators, times
from dolambda.loops.backends import Sequential, attempt
from dolambda.loops.piece import Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.loops.backends import Options, Outcomes
    from dolambda.loops.loop import Foreach


class Asked(Sequential):
    """A backend that asks for the number of tasks, and then runs them one after the other."""

    length: int | None = None
    tasks = 0

    def run(self, calls: Iterator[Any], *, options: Options) -> Outcomes:
        self.length = operator.length_hint(calls, -1)
        for number, outcome in super().run(calls, options=options):
            self.tasks += 1
            yield number, outcome


class AskedInChunks(Asked):
    """As one that takes arguments in chunks, which plain loops use."""

    # Called with more than it needs.
    def run_chunks(self, function: Any, arguments: Iterator[Any], **_: Any) -> Iterator[Piece]:
        self.length = operator.length_hint(arguments, -1)
        for number, one in enumerate(arguments):
            self.tasks += 1
            outcome: Any = attempt(function, one, {})
            yield Piece(number, [outcome.value])


@pytest.mark.parametrize("backend", [Asked, AskedInChunks])
@pytest.mark.parametrize(
    "loop",
    [
        lambda: foreach(i=range(7)),
        lambda: foreach(i=[1, 2, 3], j=range(5)),
        lambda: foreach(i=itertools.count(), j=(1, 2, 3)),
        lambda: foreach(i={"a": 1, "b": 2}),
        lambda: foreach(i=np.zeros((4, 2))),
        lambda: foreach(i=pd.DataFrame(np.zeros((9, 3)))),
        lambda: foreach(i=(x * x for x in range(6))),
        lambda: foreach(i=[]),
        lambda: times(5),
        lambda: foreach(i=range(3)).nest(j=range(4)),
        lambda: foreach(i=range(3)).nest(j=range(4)).nest(k=[1, 2]),
    ],
)
def test_the_number_of_tasks_is_known_before_the_first(
    loop: Callable[[], Foreach], backend: Any
) -> None:
    """A plain loop hands out its arguments to a backend that takes chunks, any other calls."""
    asked = backend()
    loop().run(lambda **_: None, asked)
    assert asked.length == asked.tasks


@pytest.mark.parametrize(
    "loop",
    [
        lambda: foreach(i=(x for x in range(6) if x % 2)),
        lambda: foreach(i=range(6)).when(lambda i: i % 2),
        lambda: foreach(i=iterators.isplit_indices(10, chunks=3)),
        lambda: foreach(i=range(3)).nest(j=lambda i: range(i)),
    ],
)
def test_what_cannot_be_known_is_not_guessed(loop: Callable[[], Foreach]) -> None:
    asked = Asked()
    loop().run(lambda **_: None, asked)
    assert asked.length == -1
    assert asked.tasks == 3
