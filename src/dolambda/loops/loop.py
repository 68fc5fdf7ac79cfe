"""The construct. On entry: named iterables and a function of some of those names; on leaving: its results, combined.

    foreach(i=range(3)) % dopar % f        R's way; an editor may write it %dopar%
    foreach(i=range(3)).dopar(f)           Python's way

Both are one: ``foreach(...) % dopar`` gives the loop bound to an operator, and ``% f`` runs it.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dolambda.errors import ConfigurationError, TaskError
from dolambda.loops.backends import Sequential, backend_for_dopar
from dolambda.loops.combine import MISSING, Combiner
from dolambda.wire.outcome import Failure, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dolambda.loops.backends import Backend, Call

Errors = Literal["stop", "remove", "pass"]


class Operator:
    """``do`` or ``dopar``: what stands between the loop and the function."""

    def __init__(self, name: str, backend: Callable[[], Backend]) -> None:
        """``backend`` is asked when a loop runs."""
        self.name = name
        self.backend = backend

    def __repr__(self) -> str:
        """As it is written."""
        return f"%{self.name}%"


do = Operator("do", Sequential)
"""Here, one after the other."""

dopar = Operator("dopar", backend_for_dopar)
"""On the registered backend."""


@dataclass(frozen=True)
class Foreach:
    """A loop, not yet run; it can be run any number of times. Made by `foreach`."""

    iterables: Mapping[str, Iterable[Any]]
    unnamed: tuple[Iterable[Any], ...] = ()
    combine: str | Callable[..., Any] | None = None
    init: Any = MISSING
    final: Any = None
    inorder: bool = True
    multicombine: bool = False
    maxcombine: int | None = None
    errors: str = "stop"

    def __post_init__(self) -> None:
        """Check what can be checked before anything runs."""
        if not self.iterables and not self.unnamed:
            msg = "foreach() has nothing to iterate over"
            raise ConfigurationError(msg, mend="Give it iterables, named for the function's parameters: foreach(i=range(10)).")
        for name, iterable in [*self.iterables.items(), *enumerate(self.unnamed)]:
            if isinstance(iterable, (str, bytes)) or not hasattr(iterable, "__iter__"):
                msg = f"foreach: {name}={iterable!r} is not something to iterate over"
                raise ConfigurationError(msg, mend=f"For a single value, or a string as one, write {name}=[{iterable!r}].")
        if self.errors not in ("stop", "remove", "pass"):
            msg = f"errors={self.errors!r} is none of stop, remove, pass"
            raise ConfigurationError(msg, mend='Give errors="stop", "remove" or "pass".')
        if not (self.final is None or callable(self.final)):
            msg = f"final={self.final!r} is not a function"
            raise ConfigurationError(msg, mend="It is called with the combined result.")
        self._combiner()

    def __mod__(self, other: object) -> Bound:
        """``% do`` or ``% dopar``."""
        if not isinstance(other, Operator):
            msg = f"foreach(...) % {other!r}: only % do and % dopar can follow"
            raise ConfigurationError(msg, mend="Write foreach(i=...) % dopar % function.")
        return Bound(self, other)

    def do(self, function: Callable[..., Any]) -> Any:  # noqa: ANN401 - whatever the user combines
        """Run here, one after the other."""
        return Bound(self, do) % function

    def dopar(self, function: Callable[..., Any]) -> Any:  # noqa: ANN401 - as above
        """Run on the registered backend."""
        return Bound(self, dopar) % function

    def _combiner(self) -> Combiner:
        return Combiner.of(self.combine, self.init, multicombine=self.multicombine, maxcombine=self.maxcombine)

    def run(self, function: Callable[..., Any], backend: Backend) -> Any:  # noqa: ANN401 - as above
        """Run on a backend; ``function`` gets by keyword those loop variables that it takes."""
        combiner = self._combiner()
        outcomes = backend.run(self._calls(function))
        try:
            for place, outcome in _in_order(outcomes) if self.inorder else outcomes:
                if isinstance(outcome, Value):
                    combiner.add(outcome.value)
                elif self.errors == "stop":
                    raise _task_error(place, outcome.exception)
                elif self.errors == "pass":
                    combiner.add(outcome.exception)
        finally:
            outcomes.close()  # type: ignore[attr-defined] # both are generators: closed early they cancel the rest
        result = combiner.result()
        return self.final(result) if self.final else result

    def _calls(self, function: Callable[..., Any]) -> Iterator[Call]:
        takes = _taker(function)
        names = [*self.iterables, *map(str, range(len(self.unnamed)))]
        for values in zip(*self.iterables.values(), *self.unnamed, strict=False):
            yield function, takes(dict(zip(names, values, strict=True)))


@dataclass(frozen=True)
class Bound:
    """A loop and an operator, waiting for the function."""

    loop: Foreach
    operator: Operator = field(default=dopar)

    def __mod__(self, function: object) -> Any:  # noqa: ANN401 - as above
        """Run."""
        if not callable(function):
            msg = f"{self.operator!r} was given {function!r}, which is not a function"
            raise ConfigurationError(msg, mend="Python evaluates an expression before the loop sees it: write lambda i: ...")
        return self.loop.run(function, self.operator.backend())


def foreach(
    *unnamed: Iterable[Any],
    combine: str | Callable[..., Any] | None = None,
    init: Any = MISSING,  # noqa: ANN401 - as above
    final: Callable[[Any], Any] | None = None,
    inorder: bool = True,
    multicombine: bool = False,
    maxcombine: int | None = None,
    errors: Errors = "stop",
    **iterables: Iterable[Any],
) -> Foreach:
    """Loop over iterables, the shortest deciding; ``unnamed`` ones only count.

    ``combine`` is None for a list of results, "c" (flattened), "+", "-", "*", "max", "min", or a function of two results
    (``multicombine``: of up to ``maxcombine``, 100 by default); ``init`` its first argument; ``final`` is called with what comes
    out. ``inorder=False`` combines as results arrive. ``errors``: "stop" raises `TaskError` from the first failing task's
    exception, "remove" leaves failed tasks out, "pass" puts the exception in the result's place.
    """
    return Foreach(iterables, unnamed, combine, init, final, inorder, multicombine, maxcombine, errors)


def _taker(function: Callable[..., Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What of the loop variables a function takes: those in its signature, or all the named ones for ``**kwargs``."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions have none
        return lambda values: values
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return lambda values: {name: value for name, value in values.items() if not name.isdigit()}
    names = {parameter.name for parameter in parameters}
    return lambda values: {name: value for name, value in values.items() if name in names}


def _in_order(outcomes: Iterator[tuple[int, Value | Failure]]) -> Iterator[tuple[int, Value | Failure]]:
    early: dict[int, Value | Failure] = {}
    due = 0
    for place, outcome in outcomes:
        early[place] = outcome
        while due in early:
            yield due, early.pop(due)
            due += 1


def _task_error(place: int, exception: BaseException) -> TaskError:
    """R counts tasks from 1 in its message; we count from 0, as Python does, in both message and index."""
    error = TaskError(f'task {place} failed - "{exception}"', mend="Its own exception is the cause; errors= can pass over failures.")
    error.index = (place,)
    error.__cause__ = exception
    return error
