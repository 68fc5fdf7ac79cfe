"""Search for the part of an object that cannot be pickled.

**Input:** an object that could not be pickled. **Output:** its innermost part that cannot be, and
the name by which the user knows that part: "argument 1['conn']", "keyword x.attr", "global _lock of
the function f". The search never raises. Where an object cannot be inspected, the search stops at
what is known.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import islice
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from cloudpickle import cloudpickle as internals

from dolambda.wire.pickler import Pickler

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAX_DEPTH = 16
_MAX_PARTS = 10_000  # parts of one object that are tried


@dataclass(frozen=True)
class Part:
    """A part of a sent object, and its name."""

    value: object
    name: str
    owner: str = ""

    def __str__(self) -> str:
        """Return the part's name for a message."""
        return f"{self.name} of {self.owner}" if self.owner else self.name

    def step(self, suffix: str, value: object) -> Part:
        """Return an item or attribute of this part."""
        return Part(value, f"{self.name}{suffix}", self.owner)

    def holds(self, name: str, value: object) -> Part:
        """Return a value that a function uses, under its name in the function."""
        return Part(value, name, str(self))


def find(value: object, what: str) -> Part:
    """Find the culprit in an object that messages call ``what``."""
    return _innermost(Part(value, what))


def find_in_call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part:
    """Find the culprit among a task's arguments."""
    parts = [Part(value, f"argument {number}") for number, value in enumerate(args, 1)]
    parts += [Part(value, f"keyword {name}") for name, value in kwargs.items()]
    for part in parts:
        if not _is_picklable(part.value):
            return _innermost(part)
    return Part((args, kwargs), "the arguments of a task")


def _innermost(part: Part) -> Part:
    for _ in range(_MAX_DEPTH):
        found = _first_bad(part)
        if found is None:
            break
        part = found
    return part


def _first_bad(part: Part) -> Part | None:
    try:
        for inner in islice(_parts(part), _MAX_PARTS):
            if not _is_picklable(inner.value):
                return inner
    except Exception:  # noqa: BLE001 - the object is the user's: inspecting it may raise anything
        return None
    return None


class _Nowhere:
    """A file that discards what is written."""

    def write(self, data: bytes) -> int:
        """Discard ``data``."""
        return len(data)


def _is_picklable(value: object) -> bool:
    try:
        Pickler(_Nowhere(), buffer_callback=lambda _: False).dump(value)
    except Exception:  # noqa: BLE001 - __reduce__ of any class may raise anything
        return False
    return True


def _parts(part: Part) -> Iterator[Part]:
    value = part.value
    if type(value).__module__.startswith("dolambda.") and not _is_wrapper(value):
        return  # an executor, a future, a session: the user knows it by that name
    if isinstance(value, dict):
        yield from _of_dict(part, value)
    elif isinstance(value, (list, tuple)):
        yield from (part.step(f"[{place}]", item) for place, item in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from (part.holds("an item", item) for item in value)
    if type(value) is FunctionType:
        yield from _of_function(part, value)
    elif type(value) is MethodType:
        yield part.step("", value.__func__)
        yield part.step(".__self__", value.__self__)
    elif isinstance(value, functools.partial):
        yield part.step("", value.func)
        yield part.step(".args", value.args)
        yield part.step(".keywords", value.keywords)
    elif isinstance(value, type):
        if not internals._should_pickle_by_reference(value):
            attributes = dict(vars(value))
            yield from (
                part.step(f".{name}", attributes[name])
                for name in attributes
                if name not in ("__dict__", "__weakref__")
            )
    else:
        yield from _of_instance(part, value)


def _of_dict(part: Part, value: dict[Any, Any]) -> Iterator[Part]:
    for key, item in value.items():
        yield part.step(f"[{_shown(key)}]", item)
        yield part.holds("a key", key)


def _of_function(part: Part, function: FunctionType) -> Iterator[Part]:
    if internals._should_pickle_by_reference(function):
        return
    if "__wrapped__" in vars(function):
        yield part.step("", vars(function)["__wrapped__"])
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield part.holds(f"closure variable {name}", cell.cell_contents)
        except ValueError:  # it has no value yet
            continue
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield part.holds(f"global {name}", function.__globals__[name])
    for name, default in (function.__kwdefaults__ or {}).items():
        yield part.holds(f"default of {name}", default)
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    for name, default in zip(reversed(arguments), reversed(defaults), strict=False):
        yield part.holds(f"default of {name}", default)
    yield from (part.step(f".{name}", item) for name, item in list(vars(function).items()))


def _names(code: CodeType) -> list[str]:
    names = list(code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            names += _names(inner)
    return list(dict.fromkeys(names))


def _is_wrapper(value: object) -> bool:
    """Return whether it is a wrapper around a user's function, which the user did not write."""
    return type(value).__module__.startswith("dolambda.wrappers.")


def _of_instance(part: Part, value: object) -> Iterator[Part]:
    own = _is_wrapper(value)
    try:
        attributes = dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        attributes = {}
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if name not in ("__dict__", "__weakref__"):
                try:
                    attributes[name] = object.__getattribute__(value, name)
                except AttributeError:  # it has no value
                    continue
    for name, item in attributes.items():
        if own:
            label = name.lstrip("_")
            yield part.step("", item) if label == "function" else Part(item, f"the {label}")
        else:
            yield part.step(f".{name}", item)


def _shown(key: object) -> str:
    try:
        return repr(key)
    except Exception:  # noqa: BLE001 - the user's class may raise anything
        return f"<{type(key).__name__}>"
