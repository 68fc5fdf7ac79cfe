"""Objects to bytes and back, large buffers apart.

**Input:** any object. **Output:** a pickle, and beside it the contents of its large buffers (arrays, mostly), which the
caller stores or sends as it sees fit. A buffer below `APART` bytes stays in the pickle: naming it would cost more than
sharing it could save.

`Pickler` throughout: what it takes by value (lambdas, closures, all that ``__main__`` defines) would with plain pickle
travel as a name that means nothing on the worker.
"""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

from dolambda.errors import NotPicklableError
from dolambda.wire.pickler import Pickler, code_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolambda.wire.culprit import Part

APART = 4 * 1024
"""Bytes from which a buffer leaves the pickle."""

# What plain pickle treats exactly as cloudpickle would; most loops' arguments are nothing else.
_PLAIN = frozenset({int, float, complex, bool, type(None), str, bytes})

_SHORT = 64 * 1024  # bytes of text that are no reason to take the long way
_HAS_CODE = code_object.__name__.encode()


def dump(value: object, what: str) -> tuple[bytes, list[memoryview]]:
    """Pickle ``value``; return the pickle and the buffers that left it, in order.

    ``what`` names the value in the error: `NotPicklableError` with the attribute or item at fault.
    """
    try:
        return _dumped(value)
    except Exception as error:  # any class may raise anything from its __reduce__
        from dolambda.wire import culprit  # noqa: PLC0415 - rarely needed; workers start faster

        raise _not_picklable(culprit.find(value, what), error) from error


def dump_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, list[memoryview]]:
    """Pickle a task's arguments, by the short way when all of them are plain values."""
    values = (*args, *kwargs.values()) if kwargs else args
    if all(type(value) in _PLAIN for value in values) and sum(map(_size, values)) < _SHORT:
        return pickle.dumps((args, kwargs), protocol=5), []
    try:
        return _dumped((args, kwargs))
    except Exception as error:  # any class may raise anything from its __reduce__
        from dolambda.wire import culprit  # noqa: PLC0415 - as in dump

        raise _not_picklable(culprit.find_in_call(args, kwargs), error) from error


def content_of(value: object, payload: bytes | memoryview) -> bytes | memoryview:
    """What an object that was pickled as ``payload`` is by content: the same wherever its code was written.

    File names and source lines are left out: a notebook's cell has another number when it is run again.
    """
    return _dumped(value, anonymous=True)[0] if _HAS_CODE in bytes(payload) else payload


def load(data: bytes | memoryview, buffers: Iterable[Any] = ()) -> Any:
    """Unpickle; ``buffers`` in the order in which `dump` returned them."""
    return pickle.loads(data, buffers=buffers)  # noqa: S301 - only ever called on bytes whose signature was checked


def _dumped(value: object, *, anonymous: bool = False) -> tuple[bytes, list[memoryview]]:
    apart: list[memoryview] = []

    def keep_in(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous: only a copy inside the pickle can hold it
            return True
        if view.nbytes < APART:
            return True
        apart.append(view)
        return False

    with io.BytesIO() as file:
        Pickler(file, buffer_callback=keep_in, anonymous=anonymous).dump(value)
        return file.getvalue(), apart


def _size(value: object) -> int:
    return len(value) if isinstance(value, (str, bytes)) else 0


def _not_picklable(part: Part, error: Exception) -> NotPicklableError:
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - the user's class may raise anything
        said = "<no text>"
    kind = type(part.value).__name__
    return NotPicklableError(
        f"{part} cannot be pickled: {kind} ({type(error).__name__}: {said})",
        hint="Leave it out, or make it inside the task: locks, open files, sockets, generators and connections cannot travel.",
    )
