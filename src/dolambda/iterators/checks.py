"""Checks of arguments that several iterators share.

**Input:** an argument. **Output:** its value, or the error.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any, SupportsIndex

from dolambda.errors import ConfigurationError


def whole(name: str, value: object, least: int) -> int:
    """Return an argument as an int. Raise ConfigurationError if it is below ``least``."""
    whole = operator.index(value) if isinstance(value, SupportsIndex) else least - 1
    if whole < least:
        raise ConfigurationError(
            f"{name}{value!r} is not a whole number of {least} or more",
            hint=f"Pass an int of at least {least}.",
        )
    return whole


def length(x: Any, what: str, dims: float = math.inf) -> int:
    """Return the number of entries of an object that can be sliced. Otherwise raise an error."""
    shape = getattr(x, "shape", None)
    if isinstance(shape, tuple) and 0 < len(shape) <= dims:
        return int(shape[0])
    if (
        shape is None
        and hasattr(x, "__len__")
        and hasattr(x, "__getitem__")
        and not isinstance(x, Mapping)
    ):
        return len(x)
    raise ConfigurationError(
        f"{what} is {kind(x)}, whose entries cannot be taken by position",
        hint="Pass a sequence or a vector: list(x). ichunk takes iterators, isplit_rows matrices.",
    )


def kind(x: Any) -> str:
    """Return the type and shape of an argument, for a message."""
    shape = getattr(x, "shape", None)
    return f"of type {type(x).__name__}" + (
        f" and of shape {shape}" if isinstance(shape, tuple) else ""
    )
