"""The number of items that an iterable yields, where it can be known without taking one.

**Input:** any iterable, such as the generator expression in ``Parallel(...)(delayed(f)(x) for x in
xs)``. **Output:** the number, or None.

Only builtin types and generator expressions without conditions are trusted: a length hint of
another type is only a hint.
"""

from __future__ import annotations

import dis
import itertools
import math
import operator
import warnings
from collections.abc import Sized
from types import GeneratorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_NOTHING = -1
_MAX_DEPTH = 20


def known_length(iterable: Iterable[Any], depth: int = 0) -> int | None:
    """Return how many items are left. None if that cannot be known."""
    if isinstance(iterable, (GeneratorType, enumerate, map, zip)):
        sources = _sources_of(iterable) if depth < _MAX_DEPTH else ()
        lengths = [known_length(one, depth + 1) for one in sources]
        known = [one for one in lengths if one is not None]
        return min(known) if known and len(known) == len(lengths) else None
    if hasattr(iterable, "iterrows") and hasattr(iterable, "columns"):
        return len(iterable.columns)  # a table yields its columns
    if isinstance(iterable, Sized):
        return len(iterable)
    if isinstance(iterable, itertools.product):
        return _length_of_product(iterable)
    if type(iterable).__module__ in {"builtins", "itertools"}:
        hint = operator.length_hint(iterable, _NOTHING)
        return None if hint == _NOTHING else hint
    return None


def _sources_of(iterable: Any) -> tuple[Any, ...]:
    """Return the iterators that supply one item each for each item it yields. Empty if unknown."""
    if isinstance(iterable, GeneratorType):
        return _source_of_generator(iterable)
    arguments = iterable.__reduce__()[1]
    if isinstance(iterable, enumerate):
        return tuple(arguments[:1])
    return tuple(arguments[1:] if isinstance(iterable, map) else arguments)


def _source_of_generator(generator: GeneratorType[Any, Any, Any]) -> tuple[Any, ...]:
    frame = generator.gi_frame
    if frame is None or generator.gi_code.co_name != "<genexpr>":
        return ()
    names = [one.opname for one in dis.get_instructions(generator.gi_code)]
    loops = sum(name == "FOR_ITER" for name in names)
    is_conditional = any("JUMP" in name and "_IF_" in name for name in names)
    return () if loops != 1 or is_conditional else (frame.f_locals[".0"],)


def _length_of_product(product: itertools.product[Any]) -> int | None:
    """Return the length of a product of which nothing was taken yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.14 removes this
        try:
            parts: tuple[Any, ...] = product.__reduce__()  # type: ignore[assignment]
        except TypeError:  # it was removed
            return None
    return math.prod(map(len, parts[1])) if len(parts) == 2 else None  # noqa: PLR2004 - no state
