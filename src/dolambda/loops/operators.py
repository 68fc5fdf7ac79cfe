"""The operators between a loop and its function: `do`, `dopar` and `when`.

**Input:** functions. **Output:** operators.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dolambda.errors import ConfigurationError
from dolambda.loops.backends import Sequential
from dolambda.loops.chosen_backend import backend_for_dopar
from dolambda.loops.written import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.loops.backends import Backend
    from dolambda.loops.loop import Foreach


class Operator:
    """``do`` or ``dopar``: the operator between a loop and its function."""

    def __init__(self, name: str, backend: Callable[[], Backend]) -> None:
        """Create an operator. ``backend`` is called when a loop runs."""
        self.name = name
        self.backend = backend

    def __repr__(self) -> str:
        """Return the operator as it is written."""
        return f"%{self.name}%"


do = Operator("do", Sequential)
"""Run the loop locally, one task after the other: ``foreach(...) % do % function``."""

dopar = Operator("dopar", backend_for_dopar)
"""Run the loop on the registered backend: ``foreach(...) % dopar % function``."""


@dataclass(frozen=True, repr=False)
class Bound:
    """A loop and an operator, which wait for the function."""

    loop: Foreach
    operator: Operator = field(default=dopar)

    def __repr__(self) -> str:
        """Return the loop and the operator as they are written."""
        return f"{self.loop!r} % {self.operator.name}"

    def __mod__(self, function: Callable[..., Any]) -> Any:
        """Run the loop."""
        return self.loop.run(function, self.operator.backend())


@dataclass(frozen=True, repr=False)
class When:
    """A condition on the variables of the outer loops, as `when` returns it."""

    condition: Callable[..., Any]

    def __repr__(self) -> str:
        """Return the condition as it is written."""
        return f"when({one_line(self.condition)})"


def when(condition: Callable[..., Any]) -> When:
    """Leave steps out of a loop before they are sent.

    Args:
        condition: Function of the loop variables that it takes. It is called locally. Steps for
            which it is false are left out.

    Returns:
        The condition, for use as ``foreach(...) % when(...) % dopar % function``.

    Raises:
        ConfigurationError: ``condition`` is not a function.

    Example:
        >>> foreach(i=range(4)) % when(lambda i: i % 2) % do % (lambda i: i)
        [1, 3]
    """
    if not is_function(condition):
        raise ConfigurationError(
            f"when({condition!r}) was not given a function",
            hint="Python evaluates an expression before the loop sees it: write when(lambda i: i "
            "> 3).",
        )
    return When(condition)


def is_function(given: object) -> bool:
    """Return whether it is callable, for a value that is annotated as a function but may be none.

    Type checkers take the plain check for unreachable code.
    """
    return callable(given)
