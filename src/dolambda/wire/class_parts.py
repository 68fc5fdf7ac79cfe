"""Parts of a main program's types that cloudpickle leaves out.

    ``__slots__``        set when the class is built: later they have no effect, and the state of
                         instances does not fit the original class
    ``__qualname__``     texts show it
    members of an Enum   aliases, and the attributes that its ``__init__`` or ``__new__`` has set
    typing               NewType, ParamSpec and TypeVarTuple travel by value

A class that comes back to the program that defines it stays as it is there: what tasks have set in
its copy on a worker is not set here.

**Input:** a type, and what cloudpickle makes of it. **Output:** how to rebuild it whole, as
`__reduce__` returns it. Pickles name the functions that rebuild these objects, so the functions
stay in this module.
"""

from __future__ import annotations

import contextlib
import sys
import typing
from types import MemberDescriptorType
from typing import Any
from weakref import WeakSet

from cloudpickle import cloudpickle as internals

_CLASS, _ENUM = internals._make_skeleton_class, internals._make_skeleton_enum
TYPING = tuple(
    getattr(typing, name)
    for name in ("NewType", "ParamSpec", "TypeVarTuple")
    if hasattr(typing, name)
)


_defined_here: WeakSet[type] = WeakSet()
_rebuilt: WeakSet[type] = WeakSet()
"""Classes that this process has sent, and those that it has received."""


def completed(cls: type, reduced: Any) -> Any:
    """Return what builds the class with all its parts. One that travels by name is unchanged."""
    if type(reduced) is not tuple:
        return reduced
    if cls not in _rebuilt:
        _defined_here.add(cls)
    if reduced[0] is _CLASS:
        kind, name, bases, namespace, *rest = reduced[1]
        built = (kind, name, bases, {**namespace, **_namespace(cls)}, *rest)
        return _CLASS, built, reduced[2], None, None, set_class_state
    if reduced[0] is _ENUM:
        return _completed_enum(cls, reduced)
    return reduced


def _namespace(cls: type) -> dict[str, object]:
    found: dict[str, object] = {"__qualname__": "".join(cls.__qualname__)}
    if "__slots__" in vars(cls) and not issubclass(cls, tuple):
        names = ("".join(name) for name, value in vars(cls).items() if _is_slot(name, value))
        found["__slots__"] = tuple(sorted(names))
    return found


def _is_slot(name: str, value: object) -> bool:
    return type(value) is MemberDescriptorType or name in ("__dict__", "__weakref__")


def _completed_enum(cls: Any, reduced: Any) -> Any:
    bases, name, qualname, _, *rest = reduced[1]
    members = {name: member.value for name, member in cls.__members__.items()}  # and aliases
    of_class = {key: value for key, value in reduced[2][0].items() if key not in members}
    state = (of_class, *reduced[2][1:]), _of_members(cls)
    return _ENUM, (bases, name, qualname, members, *rest), state, None, None, set_enum_state


def _of_members(cls: Any) -> dict[str, dict[str, object]]:
    """Return the attributes of each member, without those of every Enum, such as ``_value_``."""
    own = {
        name: {key: value for key, value in vars(member).items() if not _is_of_enum(key)}
        for name, member in cls.__members__.items()
    }
    return {name: attributes for name, attributes in own.items() if attributes}


def _is_of_enum(name: str) -> bool:
    return name.startswith("_") and name.endswith("_")


def set_class_state(cls: type, state: Any) -> type:
    """Set the state of a class, unless this process has defined it."""
    if cls not in _defined_here:
        _rebuilt.add(cls)
        internals._class_setstate(cls, state)
    return cls


def set_enum_state(cls: Any, state: tuple[Any, dict[str, dict[str, object]]]) -> Any:
    """Set the state of an Enum, and the attributes that its members do not have yet."""
    of_class, attributes = state
    set_class_state(cls, of_class)
    for name, values in attributes.items():
        own = vars(cls[name])
        own.update({key: value for key, value in values.items() if key not in own})
    return cls


def reduce_typing(obj: Any) -> Any:
    """Reduce a NewType, ParamSpec or TypeVarTuple to its name and what it stands for."""
    supertype = (obj.__supertype__,) if isinstance(obj, typing.NewType) else ()
    return typing_object, (type(obj).__name__, obj.__module__, obj.__name__, *supertype)


def typing_object(kind: str, module: str, name: str, *arguments: Any) -> Any:
    """Return the object of that name, or a new one where its module is missing."""
    cls = getattr(typing, kind)
    found = getattr(sys.modules.get(module), name, None)
    if type(found) is cls:
        return found
    made = cls(name, *arguments)
    with contextlib.suppress(AttributeError):
        made.__module__ = module
    return made
