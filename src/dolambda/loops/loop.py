"""The construct foreach.

**Input:** named iterables and a function of some of these names. **Output:** its results, combined.

    foreach(i=range(3)) % dopar % f                 R's way; an editor may write it %dopar%
    foreach(i=range(3)).dopar(f)                    Python's way
    foreach(i=range(3)) % foreach(j=lambda i: range(i)) % dopar % f   nested: R's %:%
    foreach(i=range(3)).nest(j=lambda i: range(i)).dopar(f)           the same

``foreach(...) % dopar`` returns the loop bound to an operator, and ``% f`` runs it.
"""

from __future__ import annotations

import difflib
import inspect
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from dolambda.errors import ConfigurationError
from dolambda.loops.backends import checked_options
from dolambda.loops.combine import MISSING, Combiner, own_copy
from dolambda.loops.function import ArgumentBinder, as_sent, called
from dolambda.loops.operators import Bound, Operator, When, do, dopar, is_function, when
from dolambda.loops.plain import PlainLoop
from dolambda.loops.walk import Errors, Level, Walk, check_iterable, log, refuse_iterator
from dolambda.loops.written import written
from dolambda.wrappers.seeding import Seed

if TYPE_CHECKING:
    from dolambda.loops.backends import Backend

Given = Iterable[Any] | Callable[..., Iterable[Any]]


@dataclass(frozen=True, repr=False)
class Foreach:
    """A loop, or several nested loops, not yet run.

    `foreach` returns it. It can be run any number of times.

    Example:
        >>> foreach(i=range(2)).nest(j=range(3), combine="+").do(lambda i, j: i * j)
        [0, 3]
    """

    iterables: Mapping[str, Given]
    unnamed: tuple[Given, ...] = ()
    combine: str | Callable[..., Any] | None = None
    init: Any = MISSING
    final: Callable[[Any], Any] | None = None
    inorder: bool = True
    multicombine: bool = False
    maxcombine: int | None = None
    errors: Errors | None = None
    packages: tuple[str, ...] = ()
    export: Mapping[str, Any] = field(default_factory=dict)
    noexport: tuple[str, ...] = ()
    verbose: bool = False
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    drawn: Seed | None = None
    conditions: tuple[Callable[..., Any], ...] = ()
    inner: Foreach | None = None

    def __post_init__(self) -> None:
        """Check the arguments before anything runs."""
        if not self.iterables and not self.unnamed:
            raise ConfigurationError(
                "foreach() has nothing to iterate over",
                hint="Pass iterables, named like the function's parameters: foreach(i=range(10)).",
            )
        for name, iterable in self._named():
            if not callable(iterable):
                _refuse_misspelt(name, iterable)
                check_iterable(name, iterable)
        said: object = self.errors
        if said not in (None, "stop", "remove", "pass"):
            raise ConfigurationError(
                f"errors={self.errors!r} is none of stop, remove, pass",
                hint='Use errors="stop", "remove" or "pass".',
            )
        if not (self.final is None or is_function(self.final)):
            raise ConfigurationError(
                f"final={self.final!r} is not a function",
                hint="It is called with the combined result.",
            )
        for flag in ("inorder", "multicombine", "verbose"):
            if not isinstance(getattr(self, flag), bool):
                raise ConfigurationError(
                    f"{flag}={getattr(self, flag)!r} is neither True nor False",
                    hint=f"Use {flag}=True or False.",
                )
        for names in ("packages", "noexport"):
            if not all(isinstance(name, str) for name in getattr(self, names)):
                raise ConfigurationError(
                    f"{names}={getattr(self, names)!r} are not all names",
                    hint=f'Give {names}=["numpy", ...].',
                )
        object.__setattr__(self, "options", checked_options(self.options))
        self._combiner({}, only_check=True)

    @property
    def seed(self) -> int | tuple[int, ...] | None:
        """Seed of the loop's random streams, to pass again as ``seed=``. None if it has none."""
        return self.drawn.entropy if self.drawn else None

    def __repr__(self) -> str:
        """Return the loop as it is written."""
        return written(self)

    # Putting loops together.

    def __mod__(self, other: object) -> Any:
        """Apply ``% do``, ``% dopar``, ``% foreach(...)`` or ``% when(...)``."""
        if isinstance(other, Operator):
            return Bound(self, other)
        if isinstance(other, Foreach):
            return self._innermost(lambda last: last.with_inner(other))
        if isinstance(other, When):
            return self._innermost(lambda last: last.with_condition(other.condition))
        raise ConfigurationError(
            f"foreach(...) % {other!r}: only % do, % dopar, % foreach(...) and % when(...) can "
            "follow",
            hint="Write foreach(i=...) % dopar % function.",
        )

    def nest(self, *unnamed: Any, **more: Any) -> Foreach:
        """Add an inner loop.

        Args:
            *unnamed: Iterables, as `foreach` takes them.
            **more: Arguments of `foreach`: ``nest(j=lambda i: range(i), combine="+")``.

        Returns:
            The nested loop. Packages and exports of both loops hold for the function, as in R.
        """
        nested: Foreach = self % (
            unnamed[0]
            if len(unnamed) == 1 and isinstance(unnamed[0], Foreach)
            else foreach(*unnamed, **more)
        )
        return nested

    def when(self, condition: Callable[..., Any]) -> Foreach:
        """Add a condition to the innermost loop.

        Args:
            condition: A function, as `when` takes it.

        Returns:
            The loop with the condition.

        Raises:
            ConfigurationError: ``condition`` is not a function.
        """
        filtered: Foreach = self % when(condition)
        return filtered

    def _named(self) -> Iterator[tuple[str, Given]]:
        """Yield the iterables with their names. Those without a name have their position."""
        yield from self.iterables.items()
        for place, iterable in enumerate(self.unnamed):
            yield str(place), iterable

    def with_inner(self, inner: Foreach) -> Foreach:
        """Return the loop with a loop inside. Packages and exports of both hold, as in R."""
        for name, iterable in inner._named():
            refuse_iterator(name, iterable)
        return self._with(
            inner=inner,
            packages=tuple(dict.fromkeys([*self.packages, *inner.packages])),
            export={**self.export, **inner.export},
            noexport=tuple(dict.fromkeys([*self.noexport, *inner.noexport])),
            options={**self.options, **inner.options},
            verbose=self.verbose or inner.verbose,
            drawn=self.drawn or inner.drawn,
        )

    def with_condition(self, condition: Callable[..., Any]) -> Foreach:
        """Return the loop with one more condition."""
        return self._with(conditions=(*self.conditions, condition))

    def _with(self, **changes: Any) -> Foreach:
        return Foreach(
            **{name: getattr(self, name) for name in self.__dataclass_fields__} | changes
        )

    def _innermost(self, change: Callable[[Foreach], Foreach]) -> Foreach:
        if self.inner is None:
            return change(self)
        return self.with_inner(self.inner._innermost(change))  # noqa: SLF001 - of the same class

    def do(self, function: Callable[..., Any]) -> Any:
        """Run the loop locally, one task after the other.

        Args:
            function: Function of the loop variables that it takes.

        Returns:
            The combined results.

        Raises:
            TaskError: A task raised an exception. See ``errors=`` of `foreach`.
        """
        return self.run(function, do.backend())

    def dopar(self, function: Callable[..., Any]) -> Any:
        """Run the loop on the registered backend.

        Args:
            function: Function of the loop variables that it takes.

        Returns:
            The combined results.

        Raises:
            TaskError: A task raised an exception. See ``errors=`` of `foreach`.
            CombineError: The function passed as ``combine=`` raised an exception.
        """
        return self.run(function, dopar.backend())

    def stream(self, function: Callable[..., Any], *, ordered: bool = True) -> Iterator[Any]:
        """Run the loop on the registered backend, and yield its results one by one.

        Iterables are read only as fast as results are taken, so they may be endless.

        Args:
            function: Function of the loop variables that it takes.
            ordered: Yield results in order. False yields them as they arrive.

        Returns:
            An iterator over the results, which are not combined.

        Raises:
            ConfigurationError: The loop has ``combine=`` or ``final=``.
        """
        for level in self._levels():
            if level.combine is not None or level.final is not None:
                raise ConfigurationError(
                    "stream() combines nothing, but combine= or final= was given",
                    hint="Use .dopar(function) for a combined value.",
                )
        walk = self._walk(function)
        return walk.stream(partial(dopar.backend().run, options=self.options), ordered=ordered)

    def run(self, function: Callable[..., Any], backend: Backend) -> Any:
        """Run the loop on a backend.

        Args:
            function: Function of the loop variables that it takes, and of ``rng`` if it takes that.
            backend: The backend.

        Returns:
            The combined results.
        """
        plain = self._plain(function, backend)
        if plain:
            # The backend was checked for `run_chunks`.
            return plain.run(backend, self.options)  # type: ignore[arg-type]
        walk = self._walk(function)
        value = walk.run(partial(backend.run, options=self.options))
        if walk.seed and type(value) is list:
            value = Results(value)
            value.seed = walk.seed.entropy
        return value

    def _plain(self, function: Callable[..., Any], backend: Backend) -> PlainLoop | None:
        """Return the loop as one that runs in chunks, or None if it must run task by task."""
        level = logging.INFO if self.verbose else logging.DEBUG
        single = self.inner or self.conditions or self.drawn or log.isEnabledFor(level)
        if single or not hasattr(backend, "run_chunks") or not is_function(function):
            return None
        binder = ArgumentBinder.of(function, self.iterables)
        order = binder.order(function, self.iterables)
        if order is None:
            return None
        sent = as_sent(function, packages=self.packages, export=self.export, noexport=self.noexport)
        return PlainLoop(self.as_level(), sent, order, self.errors or "stop")

    def _walk(self, function: Callable[..., Any]) -> Walk:
        if not is_function(function):
            raise ConfigurationError(
                f"a loop was given {function!r}, which is not a function",
                hint="Python evaluates an expression before the loop gets it. Write lambda i: ...",
            )
        levels = self._levels()
        binder = ArgumentBinder.of(
            function,
            dict.fromkeys(itertools.chain.from_iterable(level.iterables for level in levels)),
        )
        seed = self.drawn or (Seed.of(seed=True) if binder.takes_rng else None)
        sent = as_sent(function, packages=self.packages, export=self.export, noexport=self.noexport)
        said: list[Errors] = [level.errors for level in levels if level.errors]
        errors = said[-1] if said else "stop"  # the innermost one that is set
        return Walk(
            tuple(level.as_level() for level in levels),
            sent,
            binder,
            errors=errors,
            seed=seed,
            verbose=self.verbose,
        )

    def _levels(self) -> list[Foreach]:
        # Of the same class.
        return [self, *(self.inner._levels() if self.inner else [])]  # noqa: SLF001

    def as_level(self) -> Level:
        """Return this loop alone, as `Walk` takes it."""
        return Level(
            self.iterables, self.unnamed, self.conditions, self._combiner, self.final, self.inorder
        )

    def _combiner(self, outer: Mapping[str, Any], *, only_check: bool = False) -> Combiner:
        init = self.init
        if init is not MISSING and not only_check:
            init = called(init, outer) if callable(init) else own_copy(init)
        return Combiner.of(
            self.combine, init, multicombine=self.multicombine, maxcombine=self.maxcombine
        )


def _refuse_misspelt(name: str, given: object) -> None:
    """Raise `ConfigurationError` for a misspelt option, which looks like an iterable."""
    if not hasattr(given, "__iter__") or isinstance(given, (str, bytes)):
        for option in difflib.get_close_matches(name, _OPTIONS, n=1, cutoff=0.75):
            raise ConfigurationError(
                f"foreach: unknown option {name}={given!r}",
                hint=f"Did you mean {option}=? An iterable of that name would be {name}=[...].",
            )


class Results(list[Any]):
    """A list of results with the ``seed`` that they came from."""

    seed: int | tuple[int, ...] | None = None


def foreach(
    *unnamed: Given,
    combine: str | Callable[..., Any] | None = None,
    init: Any = MISSING,
    final: Callable[[Any], Any] | None = None,
    inorder: bool = True,
    multicombine: bool = False,
    maxcombine: int | None = None,
    errors: Errors | None = None,
    packages: Iterable[str] = (),
    export: Mapping[str, Any] | None = None,
    noexport: Iterable[str] = (),
    verbose: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    seed: Any = None,
    seed_everywhere: bool = False,
    **iterables: Given,
) -> Foreach:
    """Describe a loop, to be run with ``% dopar % function`` or `Foreach.dopar`.

    Args:
        *unnamed: Iterables that only count: their items are not passed to the function.
        combine: None for a list of results. "c" for a list flattened by one level, without None.
            "rbind" or "cbind" for rows or columns of an array or data frame, "concat" for pandas
            objects. "+", "-", "*", "max", "min", or a function of two results.
        init: First argument of ``combine``, or a function of outer variables that returns it.
        final: Function that is called with the combined result.
        inorder: Combine in order. False combines results as they arrive.
        multicombine: Call ``combine`` with more than two results.
        maxcombine: Largest number of results of one such call. Default: 100.
        errors: "stop" (the default) raises `TaskError` for the first exception that arrives and
            cancels the rest. "remove" leaves failed tasks out. "pass" returns the exception in the
            place of the result. An inner loop without it inherits the setting of its outer loop.
        packages: Modules to import before the function runs. They are among its globals.
        export: Values to add to the function's globals, by name.
        noexport: Names not to send with the function.
        verbose: Log each task to the logger "dolambda.foreach", as INFO.
        options: Options of backends, by name: ``{"dolambda": {"retries": 2}, "loky": {"n_jobs":
            4}}``.
        seed: A whole number, several, a SeedSequence, or True to draw one. Each task has its own
            random stream, a numpy Generator that is passed as ``rng`` to a function that takes it.
            The numbers depend on seed and index alone.
        seed_everywhere: Also seed `random` and `numpy.random` in each task.
        **iterables: The loop variables. The shortest iterable ends the loop. A function is called
            when the loop runs, with the outer variables that it takes, and returns an iterable.

    Returns:
        The loop, not yet run. It can be run any number of times.

    Raises:
        ConfigurationError: An argument cannot work.

    Example:
        >>> foreach(i=range(3), combine="+").do(lambda i: i**2)
        5
    """
    return Foreach(
        iterables,
        unnamed,
        combine,
        init,
        final,
        inorder,
        multicombine,
        maxcombine,
        errors,
        _names("packages", packages),
        export or {},
        _names("noexport", noexport),
        verbose,
        options or {},
        Seed.of(seed, everywhere=seed_everywhere),
    )


_OPTIONS = [
    name
    for name, parameter in inspect.signature(foreach).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
]


def _names(what: str, given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if not hasattr(given, "__iter__"):
        raise ConfigurationError(
            f"{what}={given!r} are not names", hint=f'Use {what}=["numpy", ...].'
        )
    return tuple(given)


def times(count: int, **more: Any) -> Foreach:
    """Repeat a function, and combine the results by "c": R's ``times``.

    Args:
        count: Number of repetitions.
        **more: Any other argument of `foreach`.

    Returns:
        The loop, not yet run.

    Example:
        >>> times(3).do(lambda: 1)
        [1, 1, 1]
    """
    return foreach(range(count), **({"combine": "c"} | more))
