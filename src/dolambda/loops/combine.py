"""Results to one value. On entry: results in the order in which they are to be combined; on leaving: what foreach gives.

The arities are R's: a function is first called with up to ``most`` results (``init`` among them), then with what it has given
and up to ``most`` - 1 further ones; it is not called for a single result without ``init``.
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


class Combiner:
    """Takes results one by one."""

    def __init__(self, combine: str | Callable[..., Any] | None, init: Any, most: int) -> None:  # noqa: ANN401 - whatever the user combines
        """Use `Combiner.of`."""
        self._combine = combine
        self._most = most
        self._held: list[Any] = [] if init is MISSING else [init]

    @classmethod
    def of(cls, combine: str | Callable[..., Any] | None, init: Any, *, multicombine: bool, maxcombine: int | None) -> Combiner:  # noqa: ANN401 - as above
        """Check and choose; ``combine`` is None (a list), "c", one of `_FOLDS` or a function of results."""
        if maxcombine is not None and maxcombine < 2:  # noqa: PLR2004 - a fold takes two
            msg = f"maxcombine={maxcombine!r} is less than 2"
            raise ConfigurationError(msg, mend="Give a number >= 2, or leave it out.")
        if combine is None and init is not MISSING:
            msg = "init= was given without combine="
            raise ConfigurationError(msg, mend="Give combine= too: without it results are a list, which has no beginning.")
        known = combine in ("c", *_FOLDS) if isinstance(combine, str) else combine is None or callable(combine)
        if not known:
            msg = f"combine={combine!r} is no way to combine"
            raise ConfigurationError(msg, mend=f"Give a function, or one of c, {', '.join(_FOLDS)}; None for a list.")
        most = maxcombine or (_MOST if multicombine else 2)
        if isinstance(combine, str) and combine != "c":
            return cls(_FOLDS[combine], init, 2)
        return cls(combine, init, most)

    def add(self, result: Any) -> None:  # noqa: ANN401 - as above
        """Take one result."""
        if self._combine == "c":
            self._held += _flattened(result)
            return
        self._held.append(result)
        if callable(self._combine) and len(self._held) >= self._most:
            self._held = [self._call(self._combine)]

    def result(self) -> Any:  # noqa: ANN401 - as above
        """Give what all results make; None when there were none and no ``init``, [] for a list."""
        if not callable(self._combine):
            return self._held if self._held or self._combine is None else None
        if len(self._held) > 1:
            self._held = [self._call(self._combine)]
        return self._held[0] if self._held else None

    def _call(self, combine: Callable[..., Any]) -> Any:  # noqa: ANN401 - as above
        try:
            return functools.reduce(combine, self._held) if combine in _FOLDS.values() else combine(*self._held)
        except Exception as error:
            msg = f"combine={getattr(combine, '__name__', combine)} raised {type(error).__name__}: {error}"
            raise CombineError(msg, mend="It was called with results of the loop; its own exception is the cause.") from error


def _flattened(result: Any) -> list[Any]:  # noqa: ANN401 - as above
    """What R's c() makes of an argument: None vanishes, lists open by one level."""
    if result is None:
        return []
    return list(result) if isinstance(result, (list, tuple)) else [result]
