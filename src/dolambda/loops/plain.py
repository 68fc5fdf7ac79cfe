"""Plain loops: one level, no condition, no seed, no logging of single tasks. Most loops are plain.

    iterables -- zip --> arguments -- chunks --> a backend -- pieces of values --> Combiner

Each task costs only its arguments and its value. `Walk` does the same for all other loops, task by
task.

**Input:** a level and arguments. **Output:** the value of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from dolambda.errors import QuotedError
from dolambda.loops.length import Counted, number_of_tasks
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
        """Run ``function`` with each of the arguments.

        If the result is closed early, cancel the rest.
        """
        ...


class PlainLoop:
    """One run of a plain loop.

    Args:
        level: The loop.
        function: The function as it is sent.
        order: Names of the loop variables that the function takes by position, in order.
        errors: What happens after a failed task.
    """

    def __init__(
        self, level: Level, function: Callable[..., Any], order: tuple[str, ...], errors: Errors
    ) -> None:
        self._level = level
        self._function = function
        self._order = order
        self._errors = errors

    def run(self, backend: RunsChunks, options: Options) -> Any:
        """Run the loop on a backend.

        Returns:
            The value of the loop.

        Raises:
            TaskError: A task failed, with errors="stop".
            CombineError: The function that combines results failed.
        """
        level = self._level
        combiner = level.combiner({})
        arguments = Counted(self._arguments(), lambda: number_of_tasks([level]))
        pieces = backend.run_chunks(
            self._function, arguments, in_order=level.inorder, options=options
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
            # The iterator is a generator: closed early, it cancels the rest.
            pieces.close()  # type: ignore[attr-defined]
        value = combiner.result()
        return level.final(value) if level.final else value

    def _arguments(self) -> Arguments:
        """Return the arguments of each task, without iterables that only count."""
        level = self._level
        used: dict[str, object] = {}
        named = {name: resolved(name, one, {}, used) for name, one in level.iterables.items()}
        others = [resolved(str(place), one, {}, used) for place, one in enumerate(level.unnamed)]
        # In the order given: once an iterable has ended, those after it are not read.
        every = zip(*named.values(), *others, strict=False)
        names = list(named)
        places = [names.index(name) for name in self._order]
        if places == list(range(len(names) + len(others))):
            return every
        return (tuple([arguments[place] for place in places]) for arguments in every)

    def _error(self, piece: Piece, error: BaseException) -> BaseException:
        variables = dict(zip(self._order, piece.arguments, strict=False))
        return task_error((piece.start,), error, as_text(variables))
