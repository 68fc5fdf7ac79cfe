"""The function of a loop.

**Input:** the function as the user wrote it. **Output:** the function as it is sent, and the loop
variables that it is called with.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dolambda.errors import ConfigurationError
from dolambda.wrappers.packages import Prepared
from dolambda.wrappers.seeding import RNG, takes_rng

Variables = Mapping[str, Any]


@dataclass(frozen=True)
class ArgumentBinder:
    """Choice of the loop variables that a function gets.

    It gets those in its signature by keyword, or all, in order, by position.
    """

    names: frozenset[str] | None = None
    by_position: bool = False
    takes_rng: bool = False

    @classmethod
    def of(cls, function: Callable[..., Any], variables: Iterable[str]) -> ArgumentBinder:
        """Read the signature.

        Raises:
            ConfigurationError: The function needs a variable that the loop does not have.
        """
        there = list(variables)
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # some built-in functions have no signature
            return cls(by_position=True)
        draws = RNG not in there and takes_rng(function)
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return cls(takes_rng=draws)
        required = [
            one
            for one in parameters
            if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        if (
            there
            and parameters
            and all(one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL) for one in parameters)
        ):
            return cls(by_position=True)
        lacking = [
            one.name
            for one in required
            if one.name not in there and not (draws and one.name == RNG)
        ]
        if lacking:
            msg = f"the function takes {', '.join(lacking)}, which the loop does not have"
            have = ", ".join(there) or "none with a name"
            raise ConfigurationError(
                msg, hint=f"Loop variables are passed by name. This loop has: {have}."
            )
        return cls(frozenset(one.name for one in parameters), takes_rng=draws)

    def order(
        self, function: Callable[..., Any], variables: Iterable[str]
    ) -> tuple[str, ...] | None:
        """Return the variables that the function takes by position, in order.

        Return None if it does not take them by position.
        """
        there = list(variables)
        if self.takes_rng:
            return None
        if self.by_position:
            return tuple(there)
        if self.names is None:
            return None
        parameters = list(inspect.signature(function).parameters.values())
        wanted = [one.name for one in parameters if one.name in there]
        first = parameters[: len(wanted)]
        by_position = all(one.kind is one.POSITIONAL_OR_KEYWORD for one in first)
        in_front = [one.name for one in first] == wanted
        return tuple(wanted) if by_position and in_front else None

    def __call__(self, variables: Variables) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and keyword arguments."""
        if self.by_position:
            return tuple(variables.values()), {}
        if self.names is None:
            return (), dict(variables)
        return (), {name: value for name, value in variables.items() if name in self.names}


def called(function: Callable[..., Any], variables: Variables) -> Any:
    """Call a function of the loop (an iterable, ``when``, ``init``) with its outer variables."""
    args, kwargs = ArgumentBinder.of(function, variables)(variables)
    return function(*args, **kwargs)


def as_sent(
    function: Callable[..., Any],
    *,
    packages: tuple[str, ...],
    export: Mapping[str, Any],
    noexport: tuple[str, ...],
) -> Callable[..., Any]:
    """Return the function as it is sent.

    It sees ``export`` in its globals and its closure, and does not see ``noexport``. It runs after
    ``packages`` were imported.
    """
    if type(function) is functools.partial:
        inner = as_sent(function.func, packages=(), export=export, noexport=noexport)
        function = functools.partial(inner, *function.args, **function.keywords)
    elif export or noexport:
        function = _replaced(function, export, noexport)
    elif packages and isinstance(function, types.FunctionType):
        function = copied(function, dict(function.__globals__), function.__closure__)
    return Prepared(function, packages) if packages else function


def _replaced(
    function: Callable[..., Any], export: Mapping[str, Any], noexport: tuple[str, ...]
) -> Callable[..., Any]:
    """Return the function with names added and removed, in its globals and in its closure."""
    if not isinstance(function, types.FunctionType):
        raise ConfigurationError(
            f"export= and noexport= were given with {function!r}, which has no globals of its own",
            hint="Use a function defined by def or lambda.",
        )
    _refuse_parameters(function, export, noexport)
    seen = {name: value for name, value in function.__globals__.items() if name not in noexport}
    wrapped = getattr(function, "__wrapped__", None)
    cells: list[types.CellType] = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name in export:
            cells.append(types.CellType(export[name]))
        elif name in noexport:
            cells.append(types.CellType())
        elif wrapped is not None and _holds(cell, wrapped):  # the function that a decorator calls
            cells.append(types.CellType(_replaced(wrapped, export, noexport)))
        else:
            cells.append(cell)
    return copied(function, seen | dict(export), tuple(cells))


def _refuse_parameters(
    function: types.FunctionType, export: Mapping[str, Any], noexport: tuple[str, ...]
) -> None:
    code = function.__code__
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    for option, names in (("export", export), ("noexport", noexport)):
        if taken := [name for name in names if name in parameters]:
            raise ConfigurationError(
                f"{option}= names {taken[0]}, which is a parameter of the function",
                hint=f"A parameter hides it. Rename the parameter, or leave {taken[0]} out.",
            )


def _holds(cell: types.CellType, value: object) -> bool:
    try:
        return cell.cell_contents is value
    except ValueError:  # the cell is empty
        return False


def copied(
    function: types.FunctionType,
    seen: dict[str, Any],
    closure: tuple[types.CellType, ...] | None,
) -> types.FunctionType:
    """Return the same function with other globals and another closure.

    Where the function calls itself, the copy calls the copy.
    """
    own = types.CellType()
    cells = tuple(own if _holds(cell, function) else cell for cell in closure or ())
    copy = types.FunctionType(
        function.__code__, seen, function.__name__, function.__defaults__, cells
    )
    own.cell_contents = copy
    seen.update({name: copy for name, value in seen.items() if value is function})
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = (
        f"{function.__qualname__}.<copy>"  # no module has it by this name, so it travels by value
    )
    copy.__module__ = function.__module__
    return copy
