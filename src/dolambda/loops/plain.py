"""Plain loops: one level, no condition, no seed, no logging of single tasks. Most loops are such.

    iterables -- zip --> arguments -- chunks --> a backend -- pieces of values --> Combiner

Nothing is made for a single task but its arguments and its value. `Walk` does the same for all
other loops, task by task. Input: a level and arguments. Output: the loop's value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from dolambda.errors import QuotedError
from dolambda.loops.walk import as_text, resolved, task_error

if TYPE_CHECKING:
    from dolambda.loops.backends import Options
    from dolambda.loops.piece import Piece
    from dolambda.loops.walk import Errors, Level

Arguments = Iterator[tuple[Any, ...]]


class RunsChunks(Protocol):
    """A backend that takes arguments in chunks."""

    def run_chunks(
        self,
        function: Callable[..., Any],
        arguments: Arguments,
        *,
        in_order: bool,
        options: Options,
    ) -> Iterator[Piece]:
        """Run ``function`` with each of the arguments. Closed early, it cancels the rest."""
        ...


class PlainLoop:
    """One run of a plain loop.

    Args:
        level: The loop.
        function: What is sent.
        order: Names of the loop variables that the function takes by position, in order.
        errors: What a failed task does.
    """

    def __init__(
        self, level: Level, function: Callable[..., Any], order: tuple[str, ...], errors: Errors
    ) -> None:
        self._level = level
        self._function = function
        self._order = order
        self._errors = errors

    def run(self, backend: RunsChunks, options: Options) -> Any:
        """Run on a backend. Return the value. Raises `TaskError`, `CombineError`."""
        level = self._level
        combiner = level.combiner({})
        pieces = backend.run_chunks(
            self._function, self._arguments(), in_order=level.inorder, options=options
        )
        try:
            for piece in pieces:
                if piece.error is None:
                    combiner.add_all(piece.values)
                elif isinstance(piece.error, QuotedError):  # no task raised it: it was not sent
                    raise piece.error
                elif self._errors == "stop":
                    raise self._error(piece, piece.error)
                elif self._errors == "pass":
                    combiner.add(piece.error)
        finally:
            # A generator: closed early it cancels the rest.
            pieces.close()  # type: ignore[attr-defined]
        value = combiner.result()
        return level.final(value) if level.final else value

    def _arguments(self) -> Arguments:
        """The arguments of each task. Iterables that only count are not among them."""
        level = self._level
        used: dict[str, object] = {}
        named = {name: resolved(name, one, {}, used) for name, one in level.iterables.items()}
        others = [resolved(str(place), one, {}, used) for place, one in enumerate(level.unnamed)]
        # In the order given: once one of them is over, those after it are not asked.
        every = zip(*named.values(), *others, strict=False)
        names = list(named)
        places = [names.index(name) for name in self._order]
        if places == list(range(len(names) + len(others))):
            return every
        return (tuple([arguments[place] for place in places]) for arguments in every)

    def _error(self, piece: Piece, error: BaseException) -> BaseException:
        variables = dict(zip(self._order, piece.arguments, strict=False))
        return task_error((piece.start,), error, as_text(variables))
