"""The function of a loop. On entry: as the user wrote it; on leaving: what is sent, and which loop variables it is called with."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dolambda.errors import ConfigurationError
from dolambda.worker.prepare import Prepared
from dolambda.worker.randomness import RNG, takes_rng

Variables = Mapping[str, Any]


@dataclass(frozen=True)
class Taker:
    """Chooses what of the loop's variables a function gets: by keyword those in its signature, or all, in order, by position."""

    names: frozenset[str] | None = None
    by_position: bool = False
    takes_rng: bool = False

    @classmethod
    def of(cls, function: Callable[..., Any], variables: Iterable[str]) -> Taker:
        """Read the signature. Raises `ConfigurationError` for a function that needs what the loop does not have."""
        there = list(variables)
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # some built-in functions have none
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
                msg, hint=f"Loop variables are handed over by name; this loop has: {have}."
            )
        return cls(frozenset(one.name for one in parameters), takes_rng=draws)

    def __call__(self, variables: Variables) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give positional and keyword arguments."""
        if self.by_position:
            return tuple(variables.values()), {}
        if self.names is None:
            return (), dict(variables)
        return (), {name: value for name, value in variables.items() if name in self.names}


def called(function: Callable[..., Any], variables: Variables) -> Any:
    """Call one of the loop's own functions (an iterable's, ``when``, ``init``) with what it takes of the outer variables."""
    args, kwargs = Taker.of(function, variables)(variables)
    return function(*args, **kwargs)


def as_sent(
    function: Callable[..., Any],
    *,
    packages: tuple[str, ...],
    export: Mapping[str, Any],
    noexport: tuple[str, ...],
) -> Callable[..., Any]:
    """The function with ``export`` among its globals and ``noexport`` not, that runs once ``packages`` are imported."""
    if export or noexport:
        if not isinstance(function, types.FunctionType):
            raise ConfigurationError(
                f"export= and noexport= were given with {function!r}, which has no globals of its own",
                hint="Give a function defined by def or lambda.",
            )
        seen = {name: value for name, value in function.__globals__.items() if name not in noexport}
        function = copied(function, seen | dict(export))
    elif packages and isinstance(function, types.FunctionType):
        function = copied(function, dict(function.__globals__))
    return Prepared(function, packages) if packages else function


def copied(function: types.FunctionType, seen: dict[str, Any]) -> types.FunctionType:
    """The same function with other globals."""
    copy = types.FunctionType(
        function.__code__, seen, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = (
        f"{function.__qualname__}.<copy>"  # no module has it by this name, so it travels by value
    )
    copy.__module__ = function.__module__
    return copy
