"""Import of packages before a loop's function runs.

**Input:** a function wrapped by `Prepared`. **Output:** the function's result. The wrapper travels
in the function's place.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dolambda.wire.pickler import imported_names

if TYPE_CHECKING:
    from collections.abc import Callable


class Prepared:
    """A function that runs after ``packages`` were imported.

    It sees each package under its first name.
    """

    def __init__(self, function: Callable[..., Any], packages: tuple[str, ...]) -> None:
        """Wrap the function. Both arguments travel."""
        self._function = function
        self._packages = packages
        self._ready = False
        imported_names.update(packages)  # a package may be the user's own
        self.__qualname__ = getattr(function, "__qualname__", repr(function))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function.

        Raises:
            ImportError: A package, which the message names, cannot be imported.
        """
        if not self._ready:
            for package in self._packages:
                self._import(package)
            self._ready = True
        return self._function(*args, **kwargs)

    def _import(self, package: str) -> None:
        try:
            import_module(package)
        except ImportError as error:
            raise ImportError(
                f"packages: {package!r} cannot be imported where the task runs: {error}",
                name=error.name,
            ) from error
        first = package.partition(".")[0]
        _globals_of(self._function).setdefault(first, import_module(first))


def _globals_of(function: Any) -> dict[str, Any]:
    """Return the globals of the function that a callable object finally calls.

    The object may be a partial, a method or an instance.
    """
    while not hasattr(function, "__globals__"):
        if hasattr(function, "func"):  # functools.partial
            function = function.func
        elif hasattr(function, "__func__"):  # a bound method
            function = function.__func__
        elif hasattr(type(function).__call__, "__globals__"):
            function = type(function).__call__
        else:  # compiled code has none
            return {}
    return function.__globals__  # type: ignore[no-any-return] # it was checked
