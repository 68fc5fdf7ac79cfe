"""Results to one value.

On entry: results in the order in which they are to be combined; on leaving: what foreach gives.

The arities are R's: a function is first called with up to ``most`` results (``init`` among them),
then with what it has given and up to ``most`` - 1 further ones; it is not called for a single
result without ``init``. So what is held stays small when the function reduces. The named transports
that collect ("c", "rbind", "cbind", "concat") do so once, at the end.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

from dolambda.errors import CombineError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

MISSING: Any = object()
"""Stands for "not given", where None would be a value."""

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
    """Takes results one by one."""

    def __init__(self, combine: str | Callable[..., Any] | None, init: Any, most: int) -> None:
        """Use `Combiner.of`."""
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
        """Check and choose; ``combine`` is None (a list), one of the named transports, or a function of results."""
        if maxcombine is not None and maxcombine < 2:  # noqa: PLR2004 - a fold takes two
            raise ConfigurationError(
                f"maxcombine={maxcombine!r} is less than 2",
                hint="Give a number >= 2, or leave it out.",
            )
        if combine is None and init is not MISSING:
            raise ConfigurationError(
                "init= was given without combine=",
                hint="Give combine= too: without it results are a list, which has no beginning.",
            )
        known = (
            combine in (*_COLLECTORS, *_FOLDS)
            if isinstance(combine, str)
            else combine is None or callable(combine)
        )
        if not known:
            raise ConfigurationError(
                f"combine={combine!r} is no way to combine",
                hint=f"Give a function, or one of {', '.join((*_COLLECTORS, *_FOLDS))}; None for "
                "a list.",
            )
        if isinstance(combine, str) and combine in _FOLDS:
            return cls(_FOLDS[combine], init, 2)
        return cls(combine, init, maxcombine or (_MOST if multicombine else 2))

    def add(self, result: Any) -> None:
        """Take one result. Raises `CombineError`."""
        self._any = True
        if self._combine == "c":
            self._held += flattened(result)
        elif not isinstance(self._combine, str) or result is not None:
            self._held.append(result)
        if callable(self._combine) and len(self._held) >= self._most:
            self._held = [self._call(self._combine)]

    def add_all(self, results: list[Any]) -> None:
        """Take several results. Raises `CombineError`."""
        if self._combine is None:
            self._held += results
        elif self._combine in _FOLDS.values() and results:
            self._any = True
            # A fold is a function.
            self._held = [self._call(self._combine, [*self._held, *results])]  # type: ignore[arg-type]
        else:
            for result in results:
                self.add(result)

    def result(self) -> Any:
        """Give what all results make; None when there were none and no ``init``, [] for a list.

        Raises `CombineError`.
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
    """What R's c() makes of an argument: None vanishes, lists and arrays open (a matrix by columns), a single value stays."""
    if result is None:
        return []
    if isinstance(result, (list, tuple, range)):
        return list(result)
    if hasattr(result, "ravel") and hasattr(result, "shape"):
        return list(result.ravel(order="F"))
    return [result]


def _bound(way: str, *parts: Any) -> Any:
    """R's rbind and cbind, over numpy or pandas; always two-dimensional. "concat" is pandas'."""
    if way == "concat" or any(hasattr(part, "iloc") for part in parts):
        import pandas as pd  # noqa: PLC0415 - only who combines so needs it

        return pd.concat(parts, axis=1 if way == "cbind" else 0)
    import numpy as np  # noqa: PLC0415 - as above

    arrays = [np.asarray(part) for part in parts]
    if way == "rbind":
        return np.vstack([array if array.ndim > 1 else array.reshape(1, -1) for array in arrays])
    return np.hstack([array if array.ndim > 1 else array.reshape(-1, 1) for array in arrays])
