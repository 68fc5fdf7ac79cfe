"""What ``%dopar%`` runs on. On entry: calls in order; on leaving: their outcomes as they come.

    Sequential      here, one after the other                                 "seq"
    OnLambda        the workers of the stack in use                           "dolambda", what `register` makes the backend
    OnJoblib        any backend of joblib's, by name or instance              "loky", "threading", "dask", ...

As in R: nothing registered means one after the other here, with a warning, once.
"""

from __future__ import annotations

import difflib
import itertools
import queue
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from dolambda.errors import ConfigurationError
from dolambda.loops.piece import Piece
from dolambda.wire.outcome import Failure, Value

if TYPE_CHECKING:
    from concurrent.futures import Future

    from dolambda.scheduler.run import Run
    from dolambda.scheduler.submission import Call
    from dolambda.session import Session

Outcomes = Iterator[tuple[int, Value | Failure]]
Options = Mapping[str, Mapping[str, Any]]


class Backend(Protocol):
    """Where loops run. ``workers`` is how many tasks run at a time."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def version(self) -> str:
        """Of what runs there."""
        ...

    @property
    def workers(self) -> int:
        """How many tasks run at a time."""
        ...

    def run(self, calls: Iterator[Call | None], *, options: Options) -> Outcomes:
        """Run calls; give each one's number, counted from 0, and outcome, in any order.

        A generator: closed early, it cancels the rest.

        ``calls`` is taken from only as far as there is room, and only by the caller that iterates
        over what this returns. None among them means: not before something else is done.
        """
        ...


class Sequential:
    """Here, one after the other."""

    name = "seq"
    workers = 1

    @property
    def version(self) -> str:
        """Dolambda's."""
        return version()

    # It has none.
    def run(self, calls: Iterator[Call | None], *, options: Options) -> Outcomes:  # noqa: ARG002
        """See `Backend.run`."""
        for number, call in enumerate(call for call in calls if call is not None):
            yield number, attempt(*call)


def attempt(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value | Failure:
    """Call it; give what it returned or raised."""
    try:
        return Value(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - what errors= decides about
        return Failure(error)


_CHUNK = 4096  # tasks submitted at a time
_AT_LEAST = 4
"""Tasks a worker that are under way at the least; more as jobs come to hold more."""


class OnLambda:
    """On the workers of the stack in use."""

    name = "dolambda"

    @property
    def version(self) -> str:
        """Dolambda's."""
        return version()

    @property
    def workers(self) -> int:
        """See `Backend`."""
        return session_in_use().workers

    def run(self, calls: Iterator[Call | None], *, options: Options) -> Outcomes:
        """See `Backend.run`."""
        run = _open_run(options.get(self.name, {}))
        done: queue.SimpleQueue[tuple[int, Future[Any]]] = queue.SimpleQueue()
        try:
            sent = taken = 0
            over = False
            while True:
                if not over:
                    more, over = _some(calls, _room(run) - (sent - taken))
                    for number, future in enumerate(run.submit(more), sent):
                        future.add_done_callback(
                            # As a Callable.
                            lambda future, number=number: done.put((number, future))  # type: ignore[misc]
                        )
                    sent += len(more)
                if sent == taken:
                    if not over:
                        raise RuntimeError(
                            "no task is to be sent before another is done, but none is under way"
                        )
                    break
                number, future = done.get()
                taken += 1
                error = future.exception()
                yield number, Value(future.result()) if error is None else Failure(error)
            run.close()
        finally:
            run.cancel()

    def run_chunks(
        self,
        function: Any,
        arguments: Iterator[tuple[Any, ...]],
        *,
        in_order: bool,
        options: Options,
    ) -> Iterator[Piece]:
        """See `RunsChunks`."""
        from dolambda.scheduler.results import Pieces  # noqa: PLC0415 - not on a worker

        run = _open_run(options.get(self.name, {}))
        pieces = Pieces(in_order=in_order)
        sent: dict[int, list[tuple[Any, ...]]] = {}
        over = False
        try:
            while True:
                while not over and (capacity := _room(run) - pieces.left) > 0:
                    some = list(itertools.islice(arguments, min(capacity, _CHUNK)))
                    over = len(some) < min(capacity, _CHUNK)
                    if some:
                        sent[pieces.added] = some
                        run.submit_stream(function, some, pieces.receiver)
                if not pieces.left:
                    break
                start, count, values, error = pieces.take(None)
                if error is None:
                    yield Piece(start, values)
                else:
                    yield Piece(start, [], error, _arguments_of(sent, start))
                del values, error
                _forget_before(sent, start + count, in_order=in_order)
            run.close()
        finally:
            pieces.cancel()
            run.cancel()


def _arguments_of(sent: dict[int, list[tuple[Any, ...]]], number: int) -> tuple[Any, ...]:
    """Return the arguments of a task that is in flight."""
    for first, some in sent.items():
        if first <= number < first + len(some):
            return some[number - first]
    return ()


def _forget_before(sent: dict[int, list[tuple[Any, ...]]], number: int, *, in_order: bool) -> None:
    """Let go of arguments that no error message needs any more."""
    while sent and in_order:
        first = next(iter(sent))
        if first + len(sent[first]) > number:
            return
        del sent[first]


def checked_options(options: object) -> Options:
    """Return the options of each backend.

    Raises `ConfigurationError` for what is wrong with dolambda's own.
    """
    if not isinstance(options, Mapping) or not all(
        isinstance(own, Mapping) for own in options.values()
    ):
        raise ConfigurationError(
            f"options={options!r} is not a mapping of backends to their options",
            hint='Write options={"dolambda": {"retries": 2}, "loky": {"n_jobs": 4}}.',
        )
    for name in options:
        if name != OnLambda.name and difflib.get_close_matches(
            str(name).lower(), [OnLambda.name], cutoff=0.8
        ):
            raise ConfigurationError(
                f"options= are for a backend {name!r}", hint=f'Did you mean "{OnLambda.name}"?'
            )
    if OnLambda.name not in options or not find_spec("dolambda.options"):  # not on a worker
        return options
    own = import_module("dolambda.options")
    checked = own.RunOptions.from_mapping(options[OnLambda.name], own.OF_LOOPS)
    return {**options, OnLambda.name: checked.given()}


def version() -> str:
    """Dolambda's own, asked only where it is installed: a worker has its files, and no more."""
    return str(import_module("dolambda.version").VERSION)


def session_in_use() -> Session:
    """Return the session that tasks go to, opened if there is none."""
    from dolambda.current_session import current  # noqa: PLC0415 - not on a worker

    return current()


def _open_run(options: Mapping[str, Any]) -> Run:
    from dolambda.options import RunOptions  # noqa: PLC0415 - not on a worker

    return session_in_use().open_run(RunOptions(**options), same_functions=True)


def _room(run: Run) -> int:
    """How many tasks are to be under way: two jobs for each that the window holds, of the size that jobs now have, within reason."""
    return min(
        max(20_000, 100 * run.limits.workers),
        max(_AT_LEAST * run.limits.workers, 2 * run.limits.window * run.batcher.size(1 << 30, 1)),
    )


def _some(calls: Iterator[Call | None], most: int) -> tuple[list[Call], bool]:
    """Up to that many calls, as many as come before a None; and whether there are no more."""
    some: list[Call] = []
    while len(some) < most:
        call = next(calls, _OVER)
        if call is _OVER:
            return some, True
        if call is None:
            return some, False
        some.append(call)
    return some, False


_OVER: Any = object()


@dataclass
class OnJoblib:
    """On a backend of joblib's, in slices: between two of them it is idle for a moment, but takes no more than it can chew."""

    backend: Any
    name: str
    n_jobs: int = -1

    @property
    def version(self) -> str:
        """Joblib's."""
        import joblib  # noqa: PLC0415 - slow, and not paid by who has no use for it

        return str(joblib.__version__)

    @property
    def workers(self) -> int:
        """See `Backend`."""
        import joblib  # noqa: PLC0415 - as above

        with joblib.parallel_config(self.backend, n_jobs=self.n_jobs):
            return int(joblib.effective_n_jobs(self.n_jobs))

    def run(self, calls: Iterator[Call | None], *, options: Options) -> Outcomes:
        """See `Backend.run`."""
        import joblib  # noqa: PLC0415 - as above

        given = {"n_jobs": self.n_jobs} | dict(options.get(self.name, {}))
        size = _AT_LEAST * self.workers
        number = 0
        over = False
        while not over:
            some, over = _some(calls, size)
            with joblib.parallel_config(
                self.backend, **given
            ):  # around each slice: what the user does in between is not its business
                outcomes: list[Value | Failure] = joblib.Parallel()(
                    joblib.delayed(attempt)(*call) for call in some
                )
            for outcome in outcomes:
                yield number, outcome
                number += 1
            size = min(2 * size, _LARGEST_SLICE)


_LARGEST_SLICE = 10_000

_registered: Backend | None = None
_warned = False


def register_backend(backend: Backend | None) -> None:
    """Make ``%dopar%`` run there; None for nothing registered."""
    global _registered  # noqa: PLW0603 - as in R, there is one
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
    """
    before = _registered
    register_backend(_made(backend, -1 if workers is None else workers))
    return before


def _made(backend: Any, workers: int) -> Backend | None:
    if backend is None or hasattr(backend, "run"):
        return backend  # type: ignore[no-any-return] # it has been looked at
    if backend == "seq":
        return Sequential()
    if backend == OnLambda.name:
        return OnLambda()
    import joblib  # noqa: PLC0415 - as above

    try:
        with joblib.parallel_config(backend, n_jobs=workers):
            name = (
                backend
                if isinstance(backend, str)
                else type(joblib.parallel.get_active_backend()[0]).__name__
            )
    except (ValueError, TypeError, AttributeError) as error:
        msg = f"backend={backend!r} is no backend that joblib knows"
        known = ", ".join(
            itertools.chain(
                ["seq", "dolambda"],
                (name for name in joblib.parallel.BACKENDS if name != OnLambda.name),
            )
        )
        raise ConfigurationError(
            msg, hint=f"Give one of {known}, or an instance of a joblib backend."
        ) from error
    return OnJoblib(backend, name, workers)


def get_backend() -> Backend:
    """Return the backend of ``% dopar %``.

    Returns:
        The backend, with ``name``, ``version`` and ``workers``.
    """
    return _registered or Sequential()


def backend_for_dopar() -> Backend:
    """As `get_backend`; warns the first time that nothing is registered."""
    global _warned  # noqa: PLW0603 - once a process
    if (
        _registered is None and not _warned and find_spec("dolambda.session")
    ):  # within a task there is nothing to register
        _warned = True
        warnings.warn(
            "no backend is registered, so %dopar% runs sequentially: call dolambda.register() "
            "first",
            stacklevel=4,
        )
    return get_backend()
