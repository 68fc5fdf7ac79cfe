"""The backend of ``%dopar%``, as `register` or the user has chosen it.

**Input:** a name, an instance of a joblib backend, or a backend. **Output:** the `Backend` on which
loops run.
"""

from __future__ import annotations

import itertools
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dolambda.errors import ConfigurationError
from dolambda.loops.backends import OnJoblib, OnLambda, Sequential

if TYPE_CHECKING:
    from dolambda.loops.backends import Backend

_registered: Backend | None = None
_warned = False


def register_backend(backend: Backend | None) -> None:
    """Make ``backend`` the backend of ``%dopar%``, or none with None."""
    global _registered  # noqa: PLW0603 - as in R, there is one backend
    _registered = backend


def set_backend(
    backend: str | Backend | Any | None, *, workers: int | None = None
) -> Backend | None:
    """Choose the backend of ``% dopar %``.

    Args:
        backend: "seq" for none, as R's registerDoSEQ. "dolambda" for the current stack. Any other
            name, or an instance, is a joblib backend. An object with a ``run`` of its own is used
            as it is, as with R's setDoPar. None removes the choice.
        workers: Largest number of processes or threads of a joblib backend.

    Returns:
        The previous backend, to pass to `set_backend` again.

    Raises:
        ConfigurationError: joblib has no backend of that name.

    Example:
        >>> before = set_backend("threading", workers=2)
        >>> foreach(i=range(3)) % dopar % (lambda i: i * 2)
        [0, 2, 4]
        >>> set_backend(before)
        <foreach backend 'threading': joblib, n_jobs=2>
    """
    before = _registered
    register_backend(_made(backend, -1 if workers is None else workers))
    return before


def _made(backend: Any, workers: int) -> Backend | None:
    if backend is None or hasattr(backend, "run"):
        return backend  # type: ignore[no-any-return] # it was checked
    if backend == "seq":
        return Sequential()
    if backend == OnLambda.name:
        return OnLambda()
    import joblib  # noqa: PLC0415 - slow

    try:
        with joblib.parallel_config(backend, n_jobs=workers):
            name = (
                backend
                if isinstance(backend, str)
                else type(joblib.parallel.get_active_backend()[0]).__name__
            )
    except (ValueError, TypeError, AttributeError) as error:
        msg = f"backend={backend!r} is not a joblib backend"
        known = ", ".join(
            itertools.chain(
                ["seq", "dolambda"],
                (name for name in joblib.parallel.BACKENDS if name != OnLambda.name),
            )
        )
        raise ConfigurationError(
            msg, hint=f"Use one of {known}, or an instance of a joblib backend."
        ) from error
    return OnJoblib(backend, name, workers)


def get_backend() -> Backend:
    """Return the backend of ``% dopar %``.

    Returns:
        The backend, with ``name``, ``version`` and ``workers``.

    Example:
        >>> before = set_backend("loky", workers=2)
        >>> get_backend().name, get_backend().workers
        ('loky', 2)
        >>> _ = set_backend(before)
    """
    if isinstance(_registered, OnLambda) and _registered.is_nested:
        return Sequential()
    return _registered or Sequential()


def backend_for_dopar() -> Backend:
    """Return the backend as `get_backend` does. Warn the first time if none is registered."""
    global _warned  # noqa: PLW0603 - once in each process
    if _registered is None and not _warned and find_spec("dolambda.session"):
        # A task cannot register a backend.
        _warned = True
        from dolambda.users_frame import users_stacklevel  # noqa: PLC0415 - workers lack it

        warnings.warn(
            "no backend is registered, so %dopar% runs sequentially: call dolambda.register() "
            'first, or dolambda.register("local") without AWS',
            stacklevel=users_stacklevel(),
        )
    return get_backend()
