"""Conversion of a task's exception to bytes and back, whatever its class does.

**Input:** on the worker, any exception. **Output:** its description as text and a pickle of it. On
the client: the exception, or None if only a `RemoteError` with that text can replace it.

Methods of a user's exception may raise, exit or lie: `__str__`, `__reduce__`, `__cause__`,
`__notes__` and all others. So they are called only in `guarded`. The attributes that Python itself
keeps are read and set without the properties of the same name that a class may define.
"""

from __future__ import annotations

import builtins
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dolambda.errors import TaskExitedError
from dolambda.wire import pickling, tracebacks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

MAX_TEXT = 1 << 20
"""Largest number of characters kept of an exception's text, and of its traceback."""

_NO_TEXT = "<exception str() failed>"  # the words of Python's own tracebacks
_ADDRESS = re.compile("0x[0-9a-fA-F]+")
_attributes: dict[str, Any] = dict(vars(BaseException))
"""Python's own accessors, which a user's class may hide. Never changed."""


class WithArgs(NamedTuple):
    """An exception whose text survives the round trip only if its arguments are set again."""

    error: BaseException
    args: tuple[Any, ...]


class ByArgs(NamedTuple):
    """An exception of Python's own, for which a library has replaced the pickling."""

    kind: type[BaseException]
    args: tuple[Any, ...]


class ByState(NamedTuple):
    """An exception whose class takes other arguments than it passes to `Exception.__init__`."""

    kind: type[BaseException]
    args: tuple[Any, ...]
    state: dict[str, Any]

    @classmethod
    def of(cls, error: BaseException) -> ByState | None:
        """Return the exception in this form, or None if its class has a pickling of its own."""
        kind, own = type(error), _own_base(type(error))
        if kind.__reduce__ is not own.__reduce__ or kind.__reduce_ex__ is not own.__reduce_ex__:
            return None
        return cls(kind, tuple(error.__reduce__()[1]), dict(vars(error)))

    def error(self) -> BaseException:
        """Return the exception, without a call of its class's own ``__init__``."""
        error = self.kind.__new__(self.kind, *self.args)
        _own_base(self.kind).__init__(error, *self.args)
        vars(error).update(self.state)
        return error


def _own_base(kind: type[BaseException]) -> type[BaseException]:
    """Return the nearest base that is Python's own."""
    own: type[BaseException] = next(
        one for one in kind.__mro__ if vars(builtins).get(one.__name__) is one
    )
    return own


def guarded(call: Callable[[], T], otherwise: T) -> T:
    """Return the result of ``call``, or ``otherwise`` if it raises anything."""
    try:
        return call()
    except BaseException:  # noqa: BLE001 - a user's method may raise SystemExit as well
        return otherwise


def text_of(error: BaseException) -> str:
    """Return the exception's text, or a placeholder if it has none."""
    return guarded(lambda: _cut(str(error)), _NO_TEXT)


def describe(error: BaseException) -> dict[str, str]:
    """Return type, message and traceback as text."""
    kind = type(error)
    name = guarded(lambda: _cut(f"{kind.__module__}.{kind.__qualname__}"), _name_of(kind))
    trace = _attributes["__traceback__"].__get__(error)
    in_short = tracebacks.in_short(trace, f"{name}: {text_of(error)}")
    told = guarded(lambda: tracebacks.formatted(error), in_short)
    return {"type": name, "message": text_of(error), "traceback": _cut(told)}


def tamed(error: BaseException, index: int) -> BaseException:
    """Return the exception.

    For one that would end the program it is raised in, return a `TaskExitedError` instead.
    """
    if not _ends_programs(error):
        return error
    kind, args = _name_of(type(error)), _attributes["args"].__get__(error)
    # mypy cannot infer a lambda with a default.
    told = ", ".join(guarded(lambda arg=arg: _cut(repr(arg)), "...") for arg in args)  # type: ignore[misc]
    did = f"called sys.exit({told})" if isinstance(error, SystemExit) else f"raised {kind}({told})"
    exited = TaskExitedError(
        f"task {index} {did}",
        hint="Only this task has failed, the program continues. Return from the function instead.",
    )
    exited.interrupted = isinstance(error, KeyboardInterrupt)
    return exited


def pack(error: BaseException) -> tuple[bytes, Sequence[memoryview]]:
    """Return a pickle that loads as an exception with the same text, and its buffers.

    Many classes take other arguments than they pass to `Exception.__init__`. Then their pickle does
    not load, or loads with another text ("code code 5"). In that case the arguments that the
    original holds are sent too, and `load` sets them again, or makes the exception from them and
    its attributes.

    Returns:
        The pickle and its buffers. The pickle is empty if there is none that loads.
    """
    _attributes["with_traceback"](error, None)
    text = text_of(error)
    # The value that it returns otherwise.
    if not guarded(lambda: _can_be_handled(error), False):  # noqa: FBT003
        return b"", ()
    args = _attributes["args"].__get__(error)
    forms: list[object] = [error, WithArgs(error, args)]
    if vars(builtins).get(_name_of(type(error))) is type(error):
        forms.append(ByArgs(type(error), args))
    else:
        forms.append(guarded(lambda: ByState.of(error), None))
    for carried in forms:
        packed = guarded(lambda carried=carried: pickling.dump(carried, "an exception"), None)  # type: ignore[misc]
        copy = load(*packed) if packed else None
        if packed and copy is not None and _same_text(text, text_of(copy), error):
            return packed
    return b"", ()


def load(
    payload: bytes | memoryview, buffers: Sequence[bytes | memoryview]
) -> BaseException | None:
    """Load a pickled exception.

    Returns:
        The exception. None if it does not load, is not an exception, or would end the program.
    """
    loaded = guarded(lambda: pickling.load(payload, [bytearray(part) for part in buffers]), None)
    args = None
    if type(loaded) is ByArgs:
        by_args = loaded
        loaded = guarded(lambda: by_args.kind(*by_args.args), None)
    elif type(loaded) is ByState:
        loaded = guarded(loaded.error, None)
    elif type(loaded) is WithArgs:
        loaded, args = loaded
    if not issubclass(type(loaded), BaseException) or _ends_programs(loaded):
        return None
    if args is not None:
        _attributes["args"].__set__(loaded, args)
    return loaded  # type: ignore[no-any-return] # what it is was just checked


def set_cause(error: BaseException, cause: BaseException) -> None:
    """Set the exception's ``__cause__``, though its class may have a property of that name."""
    _attributes["__cause__"].__set__(error, cause)


def _ends_programs(error: BaseException) -> bool:
    """Return whether the exception ends more than a task.

    asyncio's CancelledError, for example, cancels the coroutine that awaits the result.
    """
    cancelled = getattr(sys.modules.get("asyncio.exceptions"), "CancelledError", GeneratorExit)
    return issubclass(type(error), (SystemExit, KeyboardInterrupt, GeneratorExit, cancelled))


def _can_be_handled(error: BaseException) -> bool:
    """Do what client code may do when it catches the exception. Return True unless this raises."""
    str(error), repr(error), repr(type(error))
    for name in ("args", "__class__", "__cause__", "__context__", "__traceback__", "__notes__"):
        getattr(error, name, None)
    return True


def _same_text(one: str, other: str, error: BaseException) -> bool:
    """Compare texts, ignoring addresses of objects.

    A text that differs each time decides nothing.
    """
    return _ADDRESS.sub("", one) == _ADDRESS.sub("", other) or text_of(error) != one


def _name_of(kind: type) -> str:
    name: str = vars(type)["__name__"].__get__(kind)
    return name


def _cut(text: str) -> str:
    """Return a plain string, short enough for a header."""
    if len(text) <= MAX_TEXT:
        return str.__getitem__(text, slice(None))
    return f"{str.__getitem__(text, slice(MAX_TEXT))}\n... cut at {MAX_TEXT:,} characters"
