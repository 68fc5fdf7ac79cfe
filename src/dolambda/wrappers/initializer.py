"""An executor's initializer: run once in each child process, before the first of that executor's tasks there.

On entry: a function wrapped by `Initialised`; on leaving: what the function returns. The wrapper
travels in the function's place.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from concurrent.futures import BrokenExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Functions whose wrappers are kept, so that what is submitted often is pickled as one.
_WRAPPED = 256

_done: set[str] = set()
"""Tokens of the initializers that have run in this process."""


class Initialised:
    """A function that first sees to it that the initializer named by ``token`` has run in this process."""

    def __init__(
        self,
        token: str,
        initializer: Callable[..., object],
        initargs: tuple[Any, ...],
        function: Callable[..., Any],
    ) -> None:
        """All of it travels."""
        self._token = token
        self._initializer = initializer
        self._initargs = initargs
        self._function = function
        self.__qualname__ = getattr(function, "__qualname__", repr(function))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function.

        Raises BrokenExecutor when the initializer raises, as the standard library's executors do.
        """
        if self._token not in _done:
            try:
                self._initializer(*self._initargs)
            except Exception as error:  # the user's function may raise anything
                raise BrokenExecutor(
                    f"the executor's initializer raised {type(error).__name__}: {error}"
                ) from error
            _done.add(self._token)
        return self._function(*args, **kwargs)


def with_initializer(
    initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give what wraps functions so that ``initializer(*initargs)`` runs first; None wraps nothing.

    Sending side.
    """
    if initializer is None:
        return lambda function: function
    token = secrets.token_hex(8)
    wrapped: OrderedDict[int, tuple[Callable[..., Any], Initialised]] = OrderedDict()

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        if (
            id(function) not in wrapped
        ):  # one wrapper a function, which is kept alive while its id is the key
            wrapped[id(function)] = function, Initialised(token, initializer, initargs, function)
            if len(wrapped) > _WRAPPED:
                wrapped.popitem(last=False)
        return wrapped[id(function)][1]

    return wrap
