"""The initializer of an executor.

It runs once in each child process, before that executor's first task in the process.

**Input:** a function wrapped by `Initialised`. **Output:** the function's result. The wrapper
travels in the function's place.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from concurrent.futures import BrokenExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Functions whose wrappers are kept, so that a function submitted often is pickled once.
_WRAPPED = 256

completed: set[str] = set()
"""Tokens of the initializers that have run in this process."""


class Initialised:
    """A function that first runs the initializer named by ``token``, once in each process."""

    def __init__(
        self,
        token: str,
        initializer: Callable[..., object],
        initargs: tuple[Any, ...],
        function: Callable[..., Any],
    ) -> None:
        """Wrap the function. All arguments travel."""
        self._token = token
        self._initializer = initializer
        self._initargs = initargs
        self._function = function
        self.__qualname__ = getattr(function, "__qualname__", repr(function))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function.

        Raises:
            BrokenExecutor: The initializer raised, as with the standard library's executors.
        """
        if self._token not in completed:
            try:
                self._initializer(*self._initargs)
            except Exception as error:  # the user's function may raise anything
                raise BrokenExecutor(
                    f"the executor's initializer raised {type(error).__name__}: {error}"
                ) from error
            completed.add(self._token)
        return self._function(*args, **kwargs)


def with_initializer(
    initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a wrapper of functions that runs ``initializer(*initargs)`` first.

    It is called on the sending side. Without an initializer it wraps nothing.
    """
    if initializer is None:
        return lambda function: function
    token = secrets.token_hex(8)
    wrapped: OrderedDict[int, tuple[Callable[..., Any], Initialised]] = OrderedDict()

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        if id(function) not in wrapped:
            # One wrapper for each function, which is kept alive while its id is the key.
            wrapped[id(function)] = function, Initialised(token, initializer, initargs, function)
            if len(wrapped) > _WRAPPED:
                wrapped.popitem(last=False)
        return wrapped[id(function)][1]

    return wrap
