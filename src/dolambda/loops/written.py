"""A loop as text, as one writes it, for the REPL.

**Input:** a loop. **Output:** one line, without what has its default. Long values are shortened.
"""

from __future__ import annotations

import reprlib
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.loops.loop import Foreach

_OWN = ("iterables", "unnamed", "drawn", "conditions", "inner")
"""Fields of a loop that are not arguments of `foreach`."""


def written(loop: Foreach) -> str:
    """Return a loop, its conditions and its inner loops as they are written."""
    parts = [f"foreach({', '.join(_arguments(loop))})"]
    parts += [f"when({one_line(condition)})" for condition in loop.conditions]
    if loop.inner:
        parts.append(written(loop.inner))
    return " % ".join(parts)


def _arguments(loop: Foreach) -> Iterator[str]:
    for iterable in loop.unnamed:
        yield one_line(iterable)
    for name, iterable in loop.iterables.items():
        yield f"{name}={one_line(iterable)}"
    for field in fields(loop):
        value = getattr(loop, field.name)
        usual = field.default if field.default_factory is MISSING else field.default_factory()
        if field.name not in _OWN and one_line(value) != one_line(usual):  # arrays have no ==
            yield f"{field.name}={one_line(value)}"
    if loop.drawn:
        yield f"seed={loop.seed}"


def one_line(value: Any) -> str:
    """Return a value in one line. A function has its name."""
    name = getattr(value, "__qualname__", None)
    return name if callable(value) and name else " ".join(reprlib.repr(value).split())
