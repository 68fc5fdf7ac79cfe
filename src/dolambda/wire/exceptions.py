"""What a task raised, to bytes and back, whatever its class does.

**Input:** on the worker, any exception. **Output:** its description as text and a pickle of it; on
the client the exception, or None where only a `RemoteError` with that text can stand for it.

Methods of a user's exception may raise, exit or lie: `__str__`, `__reduce__`, `__cause__`,
`__notes__` and all others. So they are called in `guarded` only, and what Python itself keeps is
read and set past properties of the same name.
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
"""Most characters that are kept of an exception's text, and of its traceback."""

_NO_TEXT = "<exception str() failed>"  # in the words of Python's own tracebacks
_ADDRESS = re.compile("0x[0-9a-fA-F]+")
_attributes: dict[str, Any] = dict(vars(BaseException))
"""Never changed: Python's own accessors, which a user's class may hide."""


class WithArgs(NamedTuple):
    """An exception that does not say the same after the round trip unless its arguments are set again."""

    error: BaseException
    args: tuple[Any, ...]


class ByArgs(NamedTuple):
    """One of Python's own exceptions, where a library has replaced how they are pickled."""

    kind: type[BaseException]
    args: tuple[Any, ...]


def guarded(call: Callable[[], T], otherwise: T) -> T:
    """Return what ``call`` returns, or ``otherwise`` if it raises anything."""
    try:
        return call()
    except BaseException:  # noqa: BLE001 - a user's method may raise SystemExit as well
        return otherwise


def text_of(error: BaseException) -> str:
    """Return the exception's text, or say that it has none."""
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
    """Return the exception, or a `TaskExitedError` for one that would end the program that it is raised in."""
    if not _ends_programs(error):
        return error
    kind, args = _name_of(type(error)), _attributes["args"].__get__(error)
    # mypy cannot infer a lambda with a default.
    told = ", ".join(guarded(lambda arg=arg: _cut(repr(arg)), "...") for arg in args)  # type: ignore[misc]
    did = f"called sys.exit({told})" if isinstance(error, SystemExit) else f"raised {kind}({told})"
    exited = TaskExitedError(
        f"task {index} {did}",
        hint="That is this task's failure alone, and does not end the program here. Return from "
        "the function instead.",
    )
    exited.interrupted = isinstance(error, KeyboardInterrupt)
    return exited


def pack(error: BaseException) -> tuple[bytes, Sequence[memoryview]]:
    """Return a pickle that loads as the exception with the same text, and its buffers; an empty one if there is none.

    Many classes take other arguments than they pass to `Exception.__init__`. Then they do not load,
    or say something else ("code code 5"): in that case the arguments that the original holds are
    sent too, and set again by `load`.
    """
    _attributes["with_traceback"](error, None)
    text = text_of(error)
    # What it returns otherwise.
    if not guarded(lambda: _can_be_handled(error), False):  # noqa: FBT003
        return b"", ()
    args = _attributes["args"].__get__(error)
    forms: list[object] = [error, WithArgs(error, args)]
    if vars(builtins).get(_name_of(type(error))) is type(error):
        forms.append(ByArgs(type(error), args))
    for carried in forms:
        packed = guarded(lambda carried=carried: pickling.dump(carried, "an exception"), None)  # type: ignore[misc]
        copy = load(*packed) if packed else None
        if packed and copy is not None and _same_text(text, text_of(copy), error):
            return packed
    return b"", ()


def load(
    payload: bytes | memoryview, buffers: Sequence[bytes | memoryview]
) -> BaseException | None:
    """Return the exception; None for what does not load, is none, or would end the program."""
    loaded = guarded(lambda: pickling.load(payload, [bytearray(part) for part in buffers]), None)
    args = None
    if type(loaded) is ByArgs:
        by_args = loaded
        loaded = guarded(lambda: by_args.kind(*by_args.args), None)
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
    """Tell whether it ends more than a task: asyncio's CancelledError cancels the coroutine that awaits the result."""
    cancelled = getattr(sys.modules.get("asyncio.exceptions"), "CancelledError", GeneratorExit)
    return issubclass(type(error), (SystemExit, KeyboardInterrupt, GeneratorExit, cancelled))


def _can_be_handled(error: BaseException) -> bool:
    """Do what code that catches it on the client may do; return True unless that raises."""
    str(error), repr(error), repr(type(error))
    for name in ("args", "__class__", "__cause__", "__context__", "__traceback__", "__notes__"):
        getattr(error, name, None)
    return True


def _same_text(one: str, other: str, error: BaseException) -> bool:
    """Compare, but for addresses of objects; a text that is another each time says nothing."""
    return _ADDRESS.sub("", one) == _ADDRESS.sub("", other) or text_of(error) != one


def _name_of(kind: type) -> str:
    name: str = vars(type)["__name__"].__get__(kind)
    return name


def _cut(text: str) -> str:
    """Return an exact string, of a length that a header has room for."""
    if len(text) <= MAX_TEXT:
        return str.__getitem__(text, slice(None))
    return f"{str.__getitem__(text, slice(MAX_TEXT))}\n... cut at {MAX_TEXT:,} characters"
