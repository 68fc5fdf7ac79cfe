"""Objects to bytes and back, large buffers apart.

On entry: any object. On leaving: a pickle, and beside it the contents of its large buffers (arrays, mostly), which the
caller stores or sends as it sees fit. A buffer below `APART` bytes stays in the pickle: naming it would cost more than
sharing it could save.

cloudpickle throughout: what it takes by value (lambdas, closures, all that ``__main__`` defines) would with plain pickle
travel as a name that means nothing on the worker.
"""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

import cloudpickle

from dolambda.errors import NotPicklableError

if TYPE_CHECKING:
    from collections.abc import Iterable

APART = 4 * 1024
"""Bytes from which a buffer leaves the pickle."""

# What plain pickle treats exactly as cloudpickle would; most loops' arguments are nothing else.
_PLAIN = frozenset({int, float, complex, bool, type(None), str, bytes})

_SHORT = 64 * 1024  # bytes of text that are no reason to take the long way


def dump(value: object, what: str) -> tuple[bytes, list[memoryview]]:
    """Pickle ``value``; give the pickle and the buffers that left it, in order.

    ``what`` names the value in the error: `NotPicklableError` with the attribute or item at fault.
    """
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
        try:
            cloudpickle.Pickler(file, protocol=5, buffer_callback=keep_in).dump(value)
        except Exception as error:  # any class may raise anything from its __reduce__
            raise _not_picklable(value, what, error) from error
        return file.getvalue(), apart


def dump_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, list[memoryview]]:
    """Pickle a task's arguments, by the short way when all of them are plain values."""
    values = (*args, *kwargs.values()) if kwargs else args
    if all(type(value) in _PLAIN for value in values) and sum(map(_size, values)) < _SHORT:
        return pickle.dumps((args, kwargs), protocol=5), []
    return dump((args, kwargs), "the arguments of a task")


def load(data: bytes | memoryview, buffers: Iterable[Any] = ()) -> Any:
    """Unpickle; ``buffers`` in the order in which `dump` gave them."""
    return pickle.loads(data, buffers=buffers)  # noqa: S301 - only ever called on bytes whose signature was checked


def _size(value: object) -> int:
    return len(value) if isinstance(value, (str, bytes)) else 0


def _not_picklable(value: object, what: str, error: Exception) -> NotPicklableError:
    path, culprit = _culprit(value, "", depth=4)
    named = f"{path.lstrip('.')} of {what}" if path else what
    return NotPicklableError(
        f"{named} cannot be pickled: {type(culprit).__name__} ({type(error).__name__}: {error})",
        hint="Leave it out, or make it inside the task: locks, open files, sockets, generators and connections cannot travel.",
    )


def _culprit(value: object, path: str, depth: int) -> tuple[str, object]:
    """The innermost part of ``value`` that cannot be pickled, and the way to it."""
    for step, part in _parts(value) if depth else ():
        try:
            cloudpickle.dumps(part)
        except Exception:  # noqa: BLE001 - as above
            return _culprit(part, path + step, depth - 1)
    return path, value


def _parts(value: object) -> Iterable[tuple[str, object]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{place}]", part) for place, part in enumerate(value)]
    cells = getattr(value, "__closure__", None)
    if cells:
        names = value.__code__.co_freevars  # type: ignore[attr-defined] # only functions have a __closure__
        return [(f".{name}", cell.cell_contents) for name, cell in zip(names, cells, strict=True)]
    return [(f".{name}", part) for name, part in getattr(value, "__dict__", {}).items()]
