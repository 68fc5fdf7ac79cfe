"""Conversion of objects to bytes and back, large buffers apart.

**Input:** any object. **Output:** a pickle, and separately the contents of its large buffers
(mostly arrays), which the caller stores or sends. A buffer below `APART` bytes stays in the pickle:
naming it would cost more than sharing it could save.

`Pickler` is used throughout. It takes lambdas, closures and all that ``__main__`` defines by value;
plain pickle would send a name that means nothing on the worker.
"""

from __future__ import annotations

import io
import pickle
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from dolambda.errors import NotPicklableError
from dolambda.wire.pickler import Pickler, code_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dolambda.wire.culprit import Part

APART = 4 * 1024
"""Bytes from which a buffer is kept outside the pickle."""

PLAIN = frozenset({int, float, complex, bool, type(None), str, bytes})
"""Types that plain pickle treats exactly as cloudpickle does. Most loops have only such arguments.
"""

_MAX_NAME = 512  # bytes of a pickle that holds the names of a module and a function
_SHORT = 64 * 1024  # bytes of text up to which the fast way is taken
_HAS_CODE = code_object.__name__.encode()


_CANNOT = "locks, open files, sockets, generators and connections cannot travel."
OF_RESULT = f"Return what it holds, such as a list: {_CANNOT}"
_OF_ARGUMENT = f"Leave it out, or make it inside the task: {_CANNOT}"


def dump(value: object, what: str, hint: str = _OF_ARGUMENT) -> tuple[bytes, list[memoryview]]:
    """Pickle a value.

    Args:
        value: Any object.
        what: Name of the value for the error.
        hint: What to do about the error.

    Returns:
        The pickle and the buffers kept outside it, in order.

    Raises:
        NotPicklableError: The value, or the attribute or item that the error names, cannot be
            pickled.
    """
    try:
        return _dumped(value)
    except Exception as error:  # any class may raise anything from its __reduce__
        from dolambda.wire import culprit  # noqa: PLC0415 - rarely needed; workers start faster

        raise _not_picklable(culprit.find(value, what), error, hint) from error


def dump_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, list[memoryview]]:
    """Pickle a task's arguments, the fast way if all of them are plain values."""
    values = (*args, *kwargs.values()) if kwargs else args
    if all(type(value) in PLAIN for value in values) and sum(map(_size, values)) < _SHORT:
        return pickle.dumps((args, kwargs), protocol=5), []
    try:
        return _dumped((args, kwargs))
    except Exception as error:  # any class may raise anything from its __reduce__
        from dolambda.wire import culprit  # noqa: PLC0415 - as in dump

        raise _not_picklable(culprit.find_in_call(args, kwargs), error) from error


def content_of(value: object, payload: bytes | memoryview) -> bytes | memoryview:
    """Return the content of an object that was pickled as ``payload``.

    It is the same wherever the object's code was written. File names and source lines are left out:
    a notebook's cell gets another number when it runs again.
    """
    return _dumped(value, anonymous=True)[0] if _HAS_CODE in bytes(payload) else payload


def is_by_name(function: object, payload: bytes | memoryview) -> bool:
    """Return whether a function was pickled as a name alone, which never changes its meaning."""
    plain = isinstance(function, (FunctionType, BuiltinFunctionType))
    return plain and len(payload) < _MAX_NAME and _HAS_CODE not in bytes(payload)


def content_key(function: object) -> tuple[object, ...] | None:
    """Return a key that describes a function completely, or None if it refers to anything else.

    Such a function has no closure, default values, attributes or inner functions, and names no
    global. As long as its key is the same, its pickle is the same.
    """
    if type(function) is not FunctionType:
        return None
    code = function.__code__
    plain = not (
        function.__closure__
        or function.__defaults__
        or function.__kwdefaults__
        or function.__dict__
    )
    if not plain or any(type(constant) is CodeType for constant in code.co_consts):
        return None
    if not function.__globals__.keys().isdisjoint(code.co_names):
        return None
    return code, function.__module__, function.__qualname__, str(function.__annotations__)


def load(data: bytes | memoryview, buffers: Iterable[Any] = ()) -> Any:
    """Unpickle. ``buffers`` are in the order in which `dump` returned them."""
    # Called only on bytes whose signature was checked.
    return pickle.loads(data, buffers=buffers)  # noqa: S301


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


def make_pickler(file: io.BytesIO, apart: list[memoryview]) -> Pickler:
    """Return a pickler for many objects. The large buffers of each are appended to ``apart``."""

    def keep_in(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous: only a copy inside the pickle can hold it
            return True
        if view.nbytes < APART:
            return True
        apart.append(view)
        return False

    return Pickler(file, buffer_callback=keep_in, many=True)


def fast_dump(pickler: Pickler) -> Callable[[object], None]:
    """Return the ``dump`` of the C implementation of a pickler that `make_pickler` made.

    cloudpickle's own method only rewords the RuntimeError of too deep a recursion, and costs a
    quarter of a microsecond.
    """
    return partial(pickle.Pickler.dump, pickler)


class RepeatedPickler:
    """Pickler of one object after the other, each by itself."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._apart: list[memoryview] = []
        self._make()

    def dump(self, value: object) -> tuple[bytes, list[memoryview]]:
        """Return the pickle, and the buffers kept outside it.

        Raises whatever the object's class raises.
        """
        file, pickler = self._file, self._pickler
        file.seek(0)
        file.truncate()
        self._apart.clear()
        try:
            self._dump(value)
        except BaseException:
            self._make()  # the old one stopped in the middle of an object
            raise
        pickler.clear_memo()
        pickler.covered.clear()
        return file.getvalue(), list(self._apart)

    def _make(self) -> None:
        self._pickler = make_pickler(self._file, self._apart)
        self._dump = fast_dump(self._pickler)


def dump_arguments(
    call: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bytes, list[memoryview]]:
    """Pickle ``call``, which holds these arguments, the fast way if all are plain values."""
    values = (*args, *kwargs.values()) if kwargs else args
    if all(type(value) in PLAIN for value in values) and sum(map(_size, values)) < _SHORT:
        return pickle.dumps(call, protocol=5), []
    try:
        return _dumped(call)
    except Exception as error:  # any class may raise anything from its __reduce__
        raise call_not_picklable(args, kwargs, error) from error


def call_not_picklable(
    args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception
) -> NotPicklableError:
    """Return the error that names the argument of a call that cannot be pickled."""
    from dolambda.wire import culprit  # noqa: PLC0415 - rarely needed; workers start faster

    return _not_picklable(culprit.find_in_call(args, kwargs), error)


def _size(value: object) -> int:
    return len(value) if isinstance(value, (str, bytes)) else 0


def _not_picklable(part: Part, error: Exception, hint: str = _OF_ARGUMENT) -> NotPicklableError:
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - the user's class may raise anything
        said = "<no text>"
    kind = type(part.value).__name__
    return NotPicklableError(
        f"{part} cannot be pickled: {kind} ({type(error).__name__}: {said})", hint=hint
    )
