"""Nested loops as one stream of tasks, and their results as one value.

    levels        foreach(i=...)  %  when(...)  %  foreach(j=lambda i: ...)
        | Walk.calls      lazily: the outer iterables, for each of their values the inner ones,
        |                 without the steps that a condition refuses
    (function, args, kwargs), one after the other, or None: wait until another task is done
        | a backend
    (number, outcome), in any order
        | Walk.run, Walk.stream
    Group         the results of one run of one level, combined in order, or as they arrive; the
                  complete value is a result of the group above
        | the outermost
    Walk.value

Only results that arrive out of order are held back. While `_HELD` of them are held, nothing more is
sent.

**Input:** levels. **Output:** calls, and a value.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from dolambda.errors import ConfigurationError, QuotedError, TaskError
from dolambda.loops.function import ArgumentBinder, called
from dolambda.loops.length import Counted, number_of_tasks
from dolambda.wire.outcome import Failure, Value
from dolambda.wrappers.seeding import Seed, Seeded, SeededResultReader, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dolambda.loops.combine import Combiner
    from dolambda.scheduler.submission import Call

Errors = Literal["stop", "remove", "pass"]

_HELD = 10_000
log = logging.getLogger("dolambda.foreach")


@dataclass(frozen=True)
class Level:
    """One foreach of a nest.

    Attributes:
        combiner: Returns the combiner of a new group.
        final: Returns the value of a group from the combined results.
        conditions: The conditions of `when`.
    """

    iterables: Mapping[str, Any]
    unnamed: tuple[Any, ...]
    conditions: tuple[Callable[..., Any], ...]
    combiner: Callable[[Mapping[str, Any]], Combiner]
    final: Callable[[Any], Any] | None
    inorder: bool

    def steps(
        self, outer: Mapping[str, Any], used: dict[str, object]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield index and variables of each step that satisfies the conditions.

        ``used`` holds the iterators of the previous round of this level, by name.
        """
        named = [resolved(name, given, outer, used) for name, given in self.iterables.items()]
        unnamed = [
            resolved(str(place), given, outer, used) for place, given in enumerate(self.unnamed)
        ]
        for index, values in enumerate(zip(*named, *unnamed, strict=False)):
            variables = {**outer, **dict(zip(self.iterables, values, strict=False))}
            if all(called(condition, variables) for condition in self.conditions):
                yield index, variables


@dataclass(frozen=True, slots=True)
class ResultSlot:
    """The place of a task's result."""

    group: Group | NullGroup
    place: int
    index: tuple[int, ...]
    values: str
    """The loop variables, for a line of text."""


class Group:
    """One run of one level.

    It takes the results of its steps, combines them, and passes the value to the group above.
    """

    def __init__(
        self, level: Level, outer: Mapping[str, Any], hand_up: Callable[[Any], None], walk: Walk
    ) -> None:
        """Begin a run. ``outer`` holds the variables of the levels above."""
        self._level = level
        self._combiner = level.combiner(outer)
        self._hand_up = hand_up
        self._walk = walk
        self._early: dict[int, Any] = {}
        self._due = 0
        self._taken = 0
        self._steps: int | None = None

    def put(self, place: int, result: Any) -> None:
        """Add the result of a step."""
        if not self._level.inorder:
            self._add(result)
        elif place != self._due:
            self._early[place] = result
            self._walk.held += 1
            return
        else:
            self._add(result)
            self._due += 1
            while self._due in self._early:
                self._walk.held -= 1
                self._add(self._early.pop(self._due))
                self._due += 1
        self._finish()

    def close(self, steps: int) -> None:
        """Set the number of steps: no more will follow."""
        self._steps = steps
        self._finish()

    def _add(self, result: Any) -> None:
        self._taken += 1
        if result is not _LEFT_OUT:
            self._combiner.add(result)

    def _finish(self) -> None:
        if self._steps is not None and self._taken == self._steps:
            value = self._combiner.result()
            self._hand_up(self._level.final(value) if self._level.final else value)


class NullGroup:
    """Replacement of the groups in a stream, where nothing is combined."""

    def put(self, place: int, result: Any) -> None:
        """Keep nothing."""

    def close(self, steps: int) -> None:
        """Finish nothing."""


class Walk:
    """One run of a nest of loops."""

    def __init__(
        self,
        levels: tuple[Level, ...],
        function: Callable[..., Any],
        binder: ArgumentBinder,
        *,
        errors: Errors,
        seed: Seed | None,
        verbose: bool,
    ) -> None:
        """Prepare the run. Nothing is taken from the iterables yet."""
        self._levels = levels
        self._taker = binder
        self._errors = errors
        self.seed = seed
        self._level_of_log = logging.INFO if verbose else logging.DEBUG
        self._function = (
            function if seed is None else Seeded(function, seed, takes_rng=binder.takes_rng)
        )
        self._slots: dict[int, ResultSlot] = {}
        self._used: list[dict[str, object]] = [{} for _ in levels]
        self._opener = SeededResultReader()
        self.held = 0
        self.value: Any = None
        self._streams = False

    def run(
        self, backend: Callable[[Iterator[Call | None]], Iterator[tuple[int, Value | Failure]]]
    ) -> Any:
        """Run on a backend, and return the value.

        Raises:
            TaskError: A task failed, with errors="stop".
            CombineError: The function that combines results failed.
        """
        outcomes = backend(Counted(self.calls(), lambda: number_of_tasks(self._levels)))
        try:
            for number, outcome in outcomes:
                slot = self._slots.pop(number)
                slot.group.put(slot.place, self.result(slot, outcome))
        finally:
            # Closed early, all cancel the rest.
            outcomes.close()  # type: ignore[attr-defined]
        return self.value

    def stream(
        self,
        backend: Callable[[Iterator[Call | None]], Iterator[tuple[int, Value | Failure]]],
        *,
        ordered: bool,
    ) -> Iterator[Any]:
        """Run on a backend, and yield the results one by one, not combined."""
        self._streams = True
        outcomes = backend(Counted(self.calls(), lambda: number_of_tasks(self._levels)))
        early: dict[int, Any] = {}
        due = 0
        try:
            for number, outcome in outcomes:
                result = self.result(self._slots.pop(number), outcome)
                if not ordered:
                    if result is not _LEFT_OUT:
                        yield result
                    continue
                early[number] = result
                while due in early:
                    result = early.pop(due)
                    due += 1
                    self.held = len(early)
                    if result is not _LEFT_OUT:
                        yield result
                self.held = len(early)
        except GeneratorExit:  # perhaps in the garbage collector, which must not wait
            getattr(outcomes, "drop", outcomes.close)()  # type: ignore[attr-defined, misc]
            raise
        except BaseException:
            outcomes.close()  # type: ignore[attr-defined] # as in `run`
            raise
        outcomes.close()  # type: ignore[attr-defined]

    def calls(self) -> Iterator[Call | None]:
        """Yield the tasks one by one, and None when a task must be done before the next."""

        def keep(value: Any) -> None:
            self.value = value

        steps = self._steps(0, {}, (), self._group(0, {}, keep))
        for number, (slot, variables) in enumerate(steps):
            while self.held >= _HELD:
                yield None
            args, kwargs = self._taker(variables)
            if self.seed is not None:
                args = (slot.index, *args)
            self._slots[number] = slot
            log.log(self._level_of_log, "task %s: %s", shown(slot.index), variables)
            yield self._function, args, kwargs

    def _group(
        self, depth: int, outer: Mapping[str, Any], hand_up: Callable[[Any], None]
    ) -> Group | NullGroup:
        return NullGroup() if self._streams else Group(self._levels[depth], outer, hand_up, self)

    def _steps(
        self, depth: int, outer: Mapping[str, Any], index: tuple[int, ...], group: Group | NullGroup
    ) -> Iterator[tuple[ResultSlot, dict[str, Any]]]:
        place = 0
        for at, variables in self._levels[depth].steps(outer, self._used[depth]):
            here = (*index, at)
            if depth + 1 == len(self._levels):
                yield ResultSlot(group, place, here, as_text(variables)), variables
            else:
                inner = self._group(depth + 1, variables, partial(group.put, place))
                yield from self._steps(depth + 1, variables, here, inner)
            place += 1
        group.close(place)

    def result(self, slot: ResultSlot, outcome: Value | Failure) -> Any:
        """Return the part of an outcome that is combined.

        Raises:
            TaskError: The task failed, with errors="stop".
        """
        index = slot.index
        if isinstance(outcome, Failure):
            log.log(self._level_of_log, "task %s failed: %r", shown(index), outcome.exception)
            if isinstance(outcome.exception, QuotedError):  # no task raised it: it was not sent
                raise outcome.exception
            if self._errors == "stop":
                raise task_error(index, outcome.exception, slot.values)
            return outcome.exception if self._errors == "pass" else _LEFT_OUT
        log.log(self._level_of_log, "result of task %s: %r", shown(index), outcome.value)
        return self._opener.open(outcome.value, stacklevel=5)


_LEFT_OUT: Any = object()


def task_error(index: tuple[int, ...], exception: BaseException, values: str) -> TaskError:
    """Return the error of a loop.

    Message and index count from 0, as Python does. R counts tasks from 1.
    """
    text = said(exception)
    error = TaskError(
        f"task {shown(index)}{values and f' ({values})'} raised "
        f"{type(exception).__name__}{text and f': {text}'}",
        hint='Its own exception is the cause. errors="remove" or "pass" continues past failures.',
    )
    error.index = index
    error.__cause__ = exception
    return error


def said(exception: BaseException) -> str:
    """Return an exception's text, whatever its class does."""
    try:
        return str(exception)
    except Exception:  # noqa: BLE001 - the user's class may raise anything
        return "(its text cannot be shown)"


def as_text(variables: Mapping[str, Any]) -> str:
    """Return the variables that are short, as text: numbers and words."""
    return ", ".join(
        f"{name}={value!r}"
        for name, value in variables.items()
        if value is None
        or type(value) in (int, float, bool)
        or (type(value) is str and len(value) <= _SHORT)
    )


_SHORT = 40


def resolved(
    name: str, iterable: Any, outer: Mapping[str, Any], used: dict[str, object]
) -> Iterable[Any]:
    """Return an iterable as given, or as a function made it from the outer variables.

    Each round needs an iterable of its own.
    """
    found = (
        called(iterable, outer)
        if callable(iterable) and not hasattr(iterable, "__iter__")
        else iterable
    )
    check_iterable(name, found)
    if _is_iterator(found):
        if used.get(name) is found:
            _refuse_used(name, found)
        used[name] = found
    return found  # type: ignore[no-any-return] # it was checked


def check_iterable(name: str, given: object) -> None:
    """Raise `ConfigurationError` for a value that cannot, or should not, be iterated over.

    ``name`` may be a position.
    """
    if not isinstance(given, (str, bytes)) and hasattr(given, "__iter__"):
        try:
            iter(given)
        except TypeError:  # for example an array without dimensions
            pass
        else:
            return
    what, instead = (
        (f"argument {int(name) + 1}, {given!r},", f"[{given!r}]")
        if name.isdecimal()
        else (f"{name}={given!r}", f"{name}=[{given!r}]")
    )
    raise ConfigurationError(
        f"foreach: {what} is not something to iterate over",
        hint=f"For a single value, or a string as one, write {instead}.",
    )


def refuse_iterator(name: str, given: object) -> None:
    """Raise `ConfigurationError` for an iterator, which an inner loop could read only once."""
    if _is_iterator(given):
        _refuse_used(name, given)


def _is_iterator(given: Any) -> bool:
    return hasattr(given, "__next__") and iter(given) is given


def _refuse_used(name: str, given: object) -> NoReturn:
    what = f"argument {int(name) + 1}" if name.isdecimal() else f"{name}="
    raise ConfigurationError(
        f"foreach: {what} of an inner loop is an iterator ({type(given).__name__}), used up after "
        "its first round",
        hint="Write a function that makes a new one for each round (lambda: ...), or a list of "
        "its items.",
    )
