"""Combination of results to one value.

**Input:** results in the order in which they are combined. **Output:** the value that foreach
returns.

The arities are R's. A function is first called with up to ``most`` results (``init`` among them),
then with the value it returned and up to ``most`` - 1 further results. It is not called for a
single result without ``init``. So little is held when the function reduces. The named ways that
collect ("c", "rbind", "cbind", "concat") do so once, at the end.
"""

from __future__ import annotations

import copy
import functools
import operator
from typing import TYPE_CHECKING, Any

from dolambda.errors import CombineError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


class _Missing:
    """Type of `MISSING`."""

    def __repr__(self) -> str:
        """Return the name, for signatures in help and documentation."""
        return "MISSING"


MISSING: Any = _Missing()
"""Placeholder for "not given", because None would be a value."""

_MOST = 100
_FOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "max": max,
    "min": min,
}
_COLLECTORS = ("c", "rbind", "cbind", "concat")


class Combiner:
    """Combiner of results, which takes them one by one."""

    def __init__(self, combine: str | Callable[..., Any] | None, init: Any, most: int) -> None:
        """Create a combiner. Use `Combiner.of` instead."""
        self._combine = combine
        self._most = most
        self._held: list[Any] = []
        self._any = init is not MISSING
        if self._any:
            self.add(init)

    @classmethod
    def of(
        cls,
        combine: str | Callable[..., Any] | None,
        init: Any,
        *,
        multicombine: bool,
        maxcombine: int | None,
    ) -> Combiner:
        """Check the arguments and create a combiner.

        Args:
            combine: None for a list, a named way, or a function of results.
            init: First argument of ``combine``, or `MISSING`.
            multicombine: True if ``combine`` may get more than two results.
            maxcombine: Largest number of results of one call.

        Raises:
            ConfigurationError: An argument cannot work.
        """
        if maxcombine is not None and maxcombine < 2:  # noqa: PLR2004 - a fold takes two results
            raise ConfigurationError(
                f"maxcombine={maxcombine!r} is less than 2",
                hint="Use a number >= 2, or leave it out.",
            )
        if combine is None and init is not MISSING:
            raise ConfigurationError(
                "init= was given without combine=",
                hint="Add combine=. Without it the results are a list, which has no first value.",
            )
        known = (
            combine in (*_COLLECTORS, *_FOLDS)
            if isinstance(combine, str)
            else combine is None or callable(combine)
        )
        if not known:
            raise ConfigurationError(
                f"combine={combine!r} is not a way to combine results",
                hint=f"Use a function, one of {', '.join((*_COLLECTORS, *_FOLDS))}, or None for "
                "a list.",
            )
        if isinstance(combine, str) and combine in _FOLDS:
            return cls(_FOLDS[combine], init, 2)
        return cls(combine, init, maxcombine or (_MOST if multicombine else 2))

    def add(self, result: Any) -> None:
        """Add one result.

        Raises:
            CombineError: The function of the user raised an exception.
        """
        self._any = True
        if self._combine == "c":
            self._held += flattened(result)
        elif not isinstance(self._combine, str) or result is not None:
            self._held.append(result)
        if callable(self._combine) and len(self._held) >= self._most:
            self._held = [self._call(self._combine)]

    def add_all(self, results: list[Any]) -> None:
        """Add several results.

        Raises:
            CombineError: The function of the user raised an exception.
        """
        if self._combine is None:
            self._held += results
        elif self._combine in _FOLDS.values() and results:
            self._any = True
            # A fold is always a function.
            self._held = [self._call(self._combine, [*self._held, *results])]  # type: ignore[arg-type]
        else:
            for result in results:
                self.add(result)

    def result(self) -> Any:
        """Return the combined value.

        Without results it is ``init`` if that was given, [] for a list, otherwise None.

        Raises:
            CombineError: The function of the user raised an exception.
        """
        if self._combine is None:
            return self._held
        if isinstance(self._combine, str):
            if not self._held:
                return None
            return (
                self._held
                if self._combine == "c"
                else self._call(functools.partial(_bound, self._combine))
            )
        if len(self._held) > 1:
            self._held = [self._call(self._combine)]
        return self._held[0] if self._held else None

    def _call(self, combine: Callable[..., Any], results: list[Any] | None = None) -> Any:
        held = self._held if results is None else results
        try:
            return functools.reduce(combine, held) if combine in _FOLDS.values() else combine(*held)
        except Exception as error:  # the user's function may raise anything
            name = (
                self._combine
                if isinstance(self._combine, str)
                else getattr(combine, "__name__", combine)
            )
            raise CombineError(
                f"combine={name} raised {type(error).__name__}: {error}",
                hint="It was called with results of the loop; its own exception is the cause.",
            ) from error


def flattened(result: Any) -> list[Any]:
    """Return what R's c() makes of an argument.

    None vanishes, lists and arrays are flattened (a matrix by columns), a single value is kept.
    """
    if result is None:
        return []
    if isinstance(result, (list, tuple, range)):
        return list(result)
    if hasattr(result, "ravel") and hasattr(result, "shape"):
        return list(result.ravel(order="F"))
    return [result]


def _bound(way: str, *parts: Any) -> Any:
    """Bind parts as R's rbind and cbind do, with numpy or pandas. "concat" is that of pandas.

    The result always has two dimensions.
    """
    if way == "concat" or any(hasattr(part, "iloc") for part in parts):
        import pandas as pd  # noqa: PLC0415 - only users of such combinations need it

        return pd.concat(parts, axis=1 if way == "cbind" else 0)
    import numpy as np  # noqa: PLC0415 - only users of such combinations need it

    arrays = [np.asarray(part) for part in parts]
    if way == "rbind":
        return np.vstack([array if array.ndim > 1 else array.reshape(1, -1) for array in arrays])
    return np.hstack([array if array.ndim > 1 else array.reshape(-1, 1) for array in arrays])


def own_copy(init: Any) -> Any:
    """Return a copy of ``init=``: what one group or run adds must not appear in another."""
    try:
        return copy.deepcopy(init)
    except Exception as error:  # the user's class may raise anything
        raise ConfigurationError(
            f"init={init!r} cannot be copied for each group of results ({type(error).__name__}: "
            f"{error})",
            hint="Write a function that makes it: init=lambda: ...",
        ) from error
