"""What ``%dopar%`` runs on. On entry: calls in order; on leaving: their outcomes as they come.

As in R: nothing registered means one after the other here, with a warning, once.
"""

from __future__ import annotations

import warnings
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dolambda.session import current, default_session
from dolambda.wire.outcome import Failure, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Call = tuple["Callable[..., Any]", dict[str, Any]]


class Backend(Protocol):
    """Where loops run. ``workers`` is how many tasks run at a time."""

    name: str
    version: str

    @property
    def workers(self) -> int:
        """How many tasks run at a time."""
        ...

    def run(self, calls: Iterable[Call]) -> Iterator[tuple[int, Value | Failure]]:
        """Run calls; give each one's place and outcome, in any order. Closed early, it cancels the rest."""
        ...


@dataclass
class Sequential:
    """Here, one after the other."""

    name: str = "seq"
    version: str = "1"
    workers: int = 1

    def run(self, calls: Iterable[Call]) -> Iterator[tuple[int, Value | Failure]]:
        """See `Backend.run`."""
        for place, (function, arguments) in enumerate(calls):
            try:
                outcome: Value | Failure = Value(function(**arguments))
            except Exception as error:  # noqa: BLE001 - what errors= decides about
                outcome = Failure(error)
            yield place, outcome


@dataclass
class OnLambda:
    """On the workers of the stack in use."""

    version: str
    name: str = "dolambda"

    @property
    def workers(self) -> int:
        """See `Backend`."""
        return current(default_session).workers

    def run(self, calls: Iterable[Call]) -> Iterator[tuple[int, Value | Failure]]:
        """See `Backend.run`."""
        session = current(default_session)
        run = session.open_run(same_buffers=True)
        try:
            futures = {future: place for place, future in enumerate(run.submit((function, (), arguments) for function, arguments in calls))}
            for future in as_completed(futures):
                error = future.exception()
                yield futures[future], Value(future.result()) if error is None else Failure(error)
            run.close()
        finally:
            run.cancel()
            session.retire(run)


_registered: Backend | None = None
_warned = False


def register_backend(backend: Backend | None) -> None:
    """Make ``%dopar%`` run there; None for nothing registered."""
    global _registered  # noqa: PLW0603 - as in R, there is one
    _registered = backend


def get_backend() -> Backend:
    """What ``%dopar%`` runs on now: its name, version, workers."""
    return _registered or Sequential()


def backend_for_dopar() -> Backend:
    """As `get_backend`; warns the first time that nothing is registered."""
    global _warned  # noqa: PLW0603 - once a process
    if _registered is None and not _warned:
        _warned = True
        warnings.warn("no backend is registered, so %dopar% runs sequentially: call dolambda.register() first", stacklevel=4)
    return get_backend()
