"""A cloudpickle for another machine, of objects that come from a running program.

**Input:** any object. **Output:** a pickle that loads without the program's files. Differences from
cloudpickle:

    code objects        keep their file name and line, and carry their source lines
                        (cloudpickle 3.1.3 drops them)
    lru_cache           a cached function of the main program travels by value, with an empty
                        cache
    functools           cached properties and generic functions of the main program travel, see
                        functools_objects.py
    ``__mp_main__``     the main program in a process started by spawn or forkserver travels by
                        value
    warning classes     a class that the other side cannot import is replaced by an empty class of
                        that name
    types               parts that cloudpickle leaves out travel, see class_parts.py
"""

from __future__ import annotations

import functools
import linecache
import os
import sys
from dataclasses import dataclass
from importlib import import_module
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import cloudpickle
from cloudpickle import cloudpickle as internals

from dolambda.wire.class_parts import TYPING, completed, reduce_typing
from dolambda.wire.functools_objects import (
    is_dispatching,
    reduce_cached_property,
    reduce_dispatching,
    reduce_dispatching_method,
)
from dolambda.wire.imports import imports_of

if TYPE_CHECKING:
    from collections.abc import Callable

_SPAWNED = "__mp_main__"
_MAIN = frozenset({"__main__", _SPAWNED})
_LRU_CACHE = type(functools.lru_cache(lambda: None))
_MAX_SOURCE_LINES = 400  # of one function; a longer one travels without its source
_ASSERTIONS = "_pytest.assertion.rewrite"

imported_names: set[str] = set()
"""Modules that the code pickled so far imports when it runs. The code archive includes them."""


class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no types
    """The pickler that the module describes.

    With ``anonymous``, code objects lose file names and source: equal code gives equal bytes.
    """

    def __init__(
        self,
        file: Any,
        protocol: int = 5,
        buffer_callback: Callable[[Any], object] | None = None,
        *,
        anonymous: bool = False,
        many: bool = False,
    ) -> None:
        """Write to ``file``, as `pickle.Pickler` does. ``many`` objects follow at once."""
        if many:  # cloudpickle's table is a ChainMap, which is slower at each object
            self.dispatch_table = dict(cloudpickle.Pickler.dispatch_table)
        super().__init__(file, protocol=protocol, buffer_callback=buffer_callback)
        self._anonymous = anonymous
        self.covered: list[tuple[str, int, int]] = []
        # What is left to pickle itself: to find that out takes longer than to pickle an array. Each
        # object is kept alive, so that no other has its id.
        self._by_name: dict[int, Any] = {}
        self._left: set[type] = set()

    def reducer_override(self, obj: Any) -> Any:
        """Reduce objects that differ from cloudpickle. Leave the rest to it."""
        kind = type(obj)
        if kind in self._left or self._by_name.get(id(obj)) is obj:
            return NotImplemented
        reduced = self._reduced(kind, obj)
        if reduced is NotImplemented:
            if kind is FunctionType or _is_class(kind):
                self._by_name[id(obj)] = obj
            elif kind not in _REDUCERS:
                self._left.add(kind)
        return reduced

    def _reduced(self, kind: type, obj: Any) -> Any:
        reducer = _REDUCERS.get(kind)
        if reducer is not None:
            return reducer(self, obj)
        if not _is_class(kind):
            return NotImplemented
        if obj.__module__ == _SPAWNED:
            return completed(obj, internals._dynamic_class_reduce(obj))
        if _is_foreign_warning(obj):
            return warning_class, (obj.__module__, obj.__qualname__)
        return completed(obj, super().reducer_override(obj))

    def _reduce_function(self, function: FunctionType) -> Any:
        if is_dispatching(function) and not _has_importable_name(function):
            return reduce_dispatching(function)
        if function.__module__ == _SPAWNED:
            return self._dynamic_function_reduce(function)
        return super().reducer_override(function)

    def _reduce_code(self, code: CodeType) -> tuple[Any, ...]:
        described = _described.get(id(code))
        if described is None:
            package = getattr(sys.modules["__main__"], "__package__", "")
            imported_names.update(imports_of(code, package))
            described = _describe(code)
        if self._anonymous:
            return code_object, ("<code>", _parts(code, "<code>"), None)
        return code_object, (described.file, described.parts, self._source_of(described))

    def _source_of(self, described: DescribedCode) -> tuple[int, list[str]] | None:
        """Return first line and source lines of a function.

        Return None if the function around it has brought them already.
        """
        name, first, last = described.code.co_filename, described.first, described.last
        for file, begin, end in self.covered:
            if file == name and begin <= first and last <= end:
                return None
        self.covered.append((name, first, last))
        lines = described.lines
        return (first, lines) if 0 < len(lines) <= _MAX_SOURCE_LINES else None


@dataclass(frozen=True, slots=True)
class DescribedCode:
    """The pickled form of a code object.

    It holds the file as shown to the user, the arguments of `CodeType`, and the source lines.
    """

    code: CodeType
    file: str
    parts: tuple[Any, ...]
    first: int
    last: int
    lines: list[str]


_described: dict[int, DescribedCode] = {}
"""Descriptions by id of the code object, which is kept alive: describing one takes as long as
pickling a function.
"""

_MAX_DESCRIBED = 256


def _describe(code: CodeType) -> DescribedCode:
    file = shown_file(code.co_filename)
    first, last = _extent(code)
    lines = linecache.getlines(code.co_filename)[first - 1 : last]
    described = DescribedCode(code, file, _parts(code, file), first, last, lines)
    while len(_described) >= _MAX_DESCRIBED:
        _described.pop(next(iter(_described)), None)
    _described[id(code)] = described
    return described


def _reduce_module(_pickler: Pickler, module: ModuleType) -> Any:
    return (assertion_helpers, ()) if module.__name__ == _ASSERTIONS else NotImplemented


def _reduce_type_variable(_pickler: Pickler, variable: Any) -> Any:
    if variable.__module__ == _SPAWNED:
        return internals._make_typevar, internals._decompose_typevar(variable)
    return NotImplemented


def _reduce_typing(_pickler: Pickler, obj: Any) -> Any:
    return reduce_typing(obj) if obj.__module__ in _MAIN else NotImplemented


def _is_class(kind: type) -> bool:
    try:
        return issubclass(kind, type)
    except TypeError:  # old extension modules have types that are not classes
        return False


def _is_foreign_warning(cls: type) -> bool:
    if not issubclass(cls, Warning) or cls.__module__ in _MAIN or cls.__module__ == "builtins":
        return False
    return _attribute(sys.modules.get(cls.__module__), cls.__qualname__) is cls


def _has_importable_name(function: Any) -> bool:
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", "")
    return module not in _MAIN and _attribute(sys.modules.get(str(module)), name) is function


def _reduce_cached(_pickler: Pickler, cached: Any) -> Any:
    """Reduce a cached function.

    It travels by value if its function belongs to the main program or has no importable name,
    otherwise by name.
    """
    if _has_importable_name(cached):
        return NotImplemented
    parameters = cached.cache_parameters()
    return cached_function, (parameters["maxsize"], parameters["typed"], cached.__wrapped__)


_REDUCERS: dict[type, Callable[[Pickler, Any], Any]] = {
    CodeType: Pickler._reduce_code,
    FunctionType: Pickler._reduce_function,
    _LRU_CACHE: _reduce_cached,
    functools.cached_property: reduce_cached_property,
    functools.singledispatchmethod: reduce_dispatching_method,
    ModuleType: _reduce_module,
    TypeVar: _reduce_type_variable,
    **dict.fromkeys(TYPING, _reduce_typing),
}


def _attribute(place: object, qualname: str) -> object:
    for name in qualname.split("."):
        place = getattr(place, name, None)
    return place


def _parts(code: CodeType, file: str) -> tuple[Any, ...]:
    """Return the arguments of `CodeType`.

    Names are copied, so that a pickle does not depend on which names are interned.
    """
    return (
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_nlocals,
        code.co_stacksize,
        code.co_flags,
        code.co_code,
        code.co_consts,
        tuple(code.co_names),
        tuple(code.co_varnames),
        file,
        "".join(code.co_name),
        code.co_qualname,
        code.co_firstlineno,
        code.co_linetable,
        code.co_exceptiontable,
        tuple(code.co_freevars),
        tuple(code.co_cellvars),
    )


def _extent(code: CodeType) -> tuple[int, int]:
    """Return first and last line of a function, including all that is defined in it."""
    last = max((line for *_, line in code.co_lines() if line), default=code.co_firstlineno)
    inner = (_extent(part)[1] for part in code.co_consts if isinstance(part, CodeType))
    return code.co_firstlineno, max(last, *inner, code.co_firstlineno)


def shown_file(name: str) -> str:
    """Return a file's name as its user knows it.

    For a notebook's cell this is IPython's name. Other names are unchanged.
    """
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return name
    try:
        label = ipython.get_ipython().compile.format_code_name(name)
    except Exception:  # noqa: BLE001 - no shell runs, or an older IPython: the name is only shown
        return name
    return " ".join(label) if label else name


def code_object(
    file: str, parts: tuple[Any, ...], source: tuple[int, list[str]] | None
) -> CodeType:
    """Rebuild code. Make its source known to tracebacks if its file does not exist."""
    # Any text may be a file name.
    if source is not None and not os.path.exists(file):  # noqa: PTH110
        first, lines = source
        known = linecache.cache.get(file)
        kept = list(known[2]) if known is not None and len(known) > 1 else []
        kept += ["\n"] * (first - 1 + len(lines) - len(kept))
        kept[first - 1 : first - 1 + len(lines)] = lines
        linecache.cache[file] = (sum(map(len, kept)), None, kept, file)  # None: never checked
    return CodeType(*parts)


# A parameter of functools.
def cached_function(maxsize: int | None, typed: bool, function: Any) -> Any:  # noqa: FBT001
    """Rebuild a function that `functools.lru_cache` wraps; its cache is empty."""
    return functools.lru_cache(maxsize, typed)(function)


_stand_ins: dict[tuple[str, str], type[Warning]] = {}
"""One class for each name in a process: all warnings of one kind must have the same class."""


def warning_class(module: str, qualname: str) -> type[Warning]:
    """Return a warning class, or an empty class of its name if its module is missing."""
    try:
        found = _attribute(import_module(module), qualname)
    except Exception:  # noqa: BLE001 - a module that cannot be imported may raise anything
        found = None
    if isinstance(found, type) and issubclass(found, Warning):
        return found
    name = qualname.rpartition(".")[2]
    made = type(name, (Warning,), {"__module__": module, "__qualname__": qualname})
    return _stand_ins.setdefault((module, qualname), made)


def assertion_helpers() -> ModuleType:
    """Return the helpers of pytest's rewritten assertions.

    If pytest is missing, return stand-ins whose functions return empty texts.
    """
    try:
        return import_module(_ASSERTIONS)
    except ImportError:
        stand_in = ModuleType(_ASSERTIONS)
        stand_in.__getattr__ = lambda _name: lambda *_args, **_kwargs: ""  # type: ignore[method-assign]
        return stand_in
