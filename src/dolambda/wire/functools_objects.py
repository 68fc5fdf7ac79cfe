"""Objects of `functools` in a main program, which cloudpickle cannot take apart.

    cached_property        holds a lock before Python 3.12
    singledispatch         holds a dictionary of weak references
    singledispatchmethod   holds one too since Python 3.13

**Input:** such an object. **Output:** how to rebuild it, as `__reduce__` returns it. Pickles name
the functions that rebuild these objects, so the functions stay in this module.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FunctionType


def _placeholder(*_args: object) -> None:
    raise TypeError("this function has not been rebuilt yet")


# It is a function.
_DISPATCH_CODE = functools.singledispatch(_placeholder).__code__  # type: ignore[attr-defined]


def reduce_cached_property(_pickler: object, made: functools.cached_property[Any]) -> Any:
    """Reduce a cached property to its function. Its values are in the instances."""
    return cached_property, (made.func, made.attrname)


def cached_property(
    function: Callable[[Any], Any], name: str | None
) -> functools.cached_property[Any]:
    """Rebuild a cached property."""
    made = functools.cached_property(function)
    made.attrname = name
    return made


def is_dispatching(function: FunctionType) -> bool:
    """Return whether `functools.singledispatch` made the function."""
    return function.__code__ is _DISPATCH_CODE


def reduce_dispatching(function: Any) -> Any:
    """Reduce a generic function to its implementations, which may call it."""
    return dispatching, (), dict(function.registry), None, None, set_implementations


def dispatching() -> Any:
    """Return a generic function without implementations."""
    return functools.singledispatch(_placeholder)


def set_implementations(made: Any, implementations: dict[type, Callable[..., Any]]) -> Any:
    """Add the implementations to a generic function."""
    for kind, function in implementations.items():
        made.register(kind, function)
    return functools.update_wrapper(made, implementations[object])


def reduce_dispatching_method(_pickler: object, made: functools.singledispatchmethod[Any]) -> Any:
    """Reduce a generic method to its generic function."""
    return dispatching_method, (), {"dispatcher": made.dispatcher, "func": made.func}


def dispatching_method() -> functools.singledispatchmethod[Any]:
    """Return a generic method without implementations."""
    return functools.singledispatchmethod(_placeholder)
