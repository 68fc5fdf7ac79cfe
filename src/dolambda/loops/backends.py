"""The backends of ``%dopar%``.

**Input:** calls in order. **Output:** their outcomes as they arrive.

    Sequential      locally, one after the other               "seq"
    OnLambda        the workers of the current stack           "dolambda", set by `register`
    OnJoblib        any joblib backend, by name or instance    "loky", "threading", "dask", ...

As in R, a loop without a registered backend runs sequentially, with one warning.
"""

from __future__ import annotations

import difflib
import itertools
import operator
import queue
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from dolambda.errors import ConfigurationError
from dolambda.loops.piece import Piece
from dolambda.wire.outcome import Failure, Value

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from dolambda.scheduler.dropped import DroppedRuns
    from dolambda.scheduler.run import Run
    from dolambda.scheduler.submission import Call
    from dolambda.session import Session

Outcomes = Iterator[tuple[int, Value | Failure]]
Options = Mapping[str, Mapping[str, Any]]


class Backend(Protocol):
    """A place where loops run."""

    @property
    def name(self) -> str:
        """Name of the backend."""
        ...

    @property
    def version(self) -> str:
        """Version of the software that runs the tasks."""
        ...

    @property
    def workers(self) -> int:
        """Number of tasks that run at a time."""
        ...

    def run(self, calls: Iterator[Call | None], *, options: Options) -> Outcomes:
        """Run calls.

        Args:
            calls: Taken only as far as there is capacity, and only by the caller that iterates over
                the result. None among them means that a task must be done before the next call.
            options: Options of each backend, by its name.

        Returns:
            A generator of the number of each call, counted from 0, and its outcome, in any order.
            If it is closed early, it cancels the rest.
        """
        ...


class Sequential:
    """The local backend, which runs one task after the other."""

    name = "seq"
    workers = 1

    def __repr__(self) -> str:
        """Return one line for the REPL."""
        return "<foreach backend 'seq': one task after the other, in this process>"

    @property
    def version(self) -> str:
        """Version of dolambda."""
        return version()

    # A sequential backend has no options.
    def run(self, calls: Iterator[Call | None], *, options: Options) -> Outcomes:  # noqa: ARG002
        """See `Backend.run`."""
        for number, call in enumerate(call for call in calls if call is not None):
            yield number, attempt(*call)


def attempt(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value | Failure:
    """Call the function, and return its value or its exception."""
    try:
        return Value(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - errors= decides what happens to it
        return Failure(error)


_CHUNK = 4096  # tasks submitted at a time
_PART = 16  # of the tasks that should be in flight: fewer are not submitted at a time
_AT_LEAST = 4
"""Least number of tasks in flight for each worker. It grows with the size of jobs."""

_BEHIND = 4
"""Tasks in flight and outcomes behind a slow task, as a multiple of the tasks in flight."""

_LOOK_S = 0.05  # between two checks whether outcomes have arrived behind a slow task


class OnLambda:
    """The workers of the current stack."""

    name = "dolambda"

    def __repr__(self) -> str:
        """Return one line for the REPL."""
        return "<foreach backend 'dolambda': the current stack>"

    @property
    def version(self) -> str:
        """Version of dolambda."""
        return version()

    @property
    def workers(self) -> int:
        """See `Backend`."""
        return session_in_use().workers

    @property
    def is_nested(self) -> bool:
        """True in a task that runs in this process. Other workers have no backend."""
        from dolambda.current_session import peek  # noqa: PLC0415 - not on a worker

        session = peek()
        return session is not None and session.runs_caller

    def run(self, calls: Iterator[Call | None], *, options: Options) -> Outcomes:
        """See `Backend.run`."""
        session = session_in_use()
        session.dropped.prepare()
        run = _open_run(session, options.get(self.name, {}), calls)
        return RunOutcomes(run, self._outcomes(run, calls), session.dropped)

    def _outcomes(self, run: Run, calls: Iterator[Call | None]) -> Generator[Any, None, None]:
        done: queue.SimpleQueue[tuple[int, Future[Any]]] = queue.SimpleQueue()
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
                        "no task may be sent before another is done, but none is in flight"
                    )
                break
            number, future = done.get()
            taken += 1
            error = future.exception()
            yield number, Value(future.result()) if error is None else Failure(error)
        run.close()

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

        run = _open_run(session_in_use(), options.get(self.name, {}), arguments)
        pieces = Pieces(in_order=in_order, after_replies=run.after_replies)
        sent: dict[int, list[tuple[Any, ...]]] = {}
        over = False
        arguments = iter(arguments)
        try:
            while True:
                while not over and (capacity := _capacity(run, pieces.left, pieces.arrived)):
                    some = list(itertools.islice(arguments, min(capacity, _CHUNK)))
                    over = len(some) < min(capacity, _CHUNK)
                    if some:
                        sent[pieces.added] = some
                        run.submit_stream(function, some, pieces.receiver)
                if not pieces.left:
                    break
                try:
                    start, count, values, error = pieces.take(
                        None if over else time.monotonic() + _LOOK_S
                    )
                except TimeoutError:  # later tasks may be done: others can be sent
                    continue
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


class RunOutcomes(Iterator[tuple[int, Value | Failure]]):
    """The outcomes of a run, which is cancelled if they are not all taken."""

    def __init__(
        self, run: Run, outcomes: Generator[tuple[int, Value | Failure]], dropped: DroppedRuns
    ) -> None:
        self._run = run
        self._outcomes = outcomes
        self._cancel_later = weakref.finalize(self, dropped.cancel, run)
        self._cancel_later.atexit = False

    def __next__(self) -> tuple[int, Value | Failure]:
        """Return the next outcome."""
        return next(self._outcomes)

    def close(self) -> None:
        """Cancel the tasks that are not done, and wait until their objects are removed."""
        if self._cancel_later.detach():
            self._outcomes.close()
            self._run.cancel()

    def drop(self) -> None:
        """Cancel the tasks that are not done, in another thread: a finalizer may call this."""
        self._cancel_later()


def _arguments_of(sent: dict[int, list[tuple[Any, ...]]], number: int) -> tuple[Any, ...]:
    """Return the arguments of a task that is in flight."""
    for first, some in sent.items():
        if first <= number < first + len(some):
            return some[number - first]
    return ()


def _forget_before(sent: dict[int, list[tuple[Any, ...]]], number: int, *, in_order: bool) -> None:
    """Forget arguments that no error message needs any more."""
    while sent and in_order:
        first = next(iter(sent))
        if first + len(sent[first]) > number:
            return
        del sent[first]


def checked_options(options: object) -> Options:
    """Return the options of each backend.

    Raises:
        ConfigurationError: One of dolambda's own options is wrong.
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
    """Return the version of dolambda where it is installed. A worker has only its files."""
    return str(import_module("dolambda.version").VERSION)


def session_in_use() -> Session:
    """Return the session that tasks go to, opened if there is none."""
    from dolambda.current_session import current  # noqa: PLC0415 - not on a worker

    return current()


def _open_run(session: Session, options: Mapping[str, Any], calls: Iterator[Any]) -> Run:
    from dolambda.options import RunOptions  # noqa: PLC0415 - not on a worker

    run = session.open_run(RunOptions(**options), same_functions=True)
    length = operator.length_hint(calls, -1)
    run.expect(length if length >= 0 else None)
    return run


def _room(run: Run) -> int:
    """Return how many tasks should be in flight.

    That is two jobs of the current size for each job that the window holds, within bounds.
    """
    return min(
        max(40_000, 100 * run.limits.workers),
        max(_AT_LEAST * run.limits.workers, 2 * run.limits.window * run.batcher.size(1 << 30, 1)),
    )


def _capacity(run: Run, left: int, arrived: int) -> int:
    """Return how many tasks to submit. Few are left for later, as long as many are in flight.

    ``left`` outcomes have not been taken. Of these, ``arrived`` wait for one before them.
    """
    room = _room(run)
    capacity = min(room - (left - arrived), _BEHIND * room - left)
    return capacity if capacity >= max(1, min(room // _PART, _CHUNK)) else 0


def _some(calls: Iterator[Call | None], most: int) -> tuple[list[Call], bool]:
    """Return up to ``most`` calls, as far as the next None, and whether the calls have ended."""
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


@dataclass(repr=False)
class OnJoblib:
    """A joblib backend, which gets the calls in slices.

    Between two slices it is idle for a moment, but calls are taken only as fast as they are run.
    """

    backend: Any
    name: str
    n_jobs: int = -1

    def __repr__(self) -> str:
        """Return one line for the REPL."""
        return f"<foreach backend {self.name!r}: joblib, n_jobs={self.n_jobs}>"

    @property
    def version(self) -> str:
        """Version of joblib."""
        import joblib  # noqa: PLC0415 - slow, and only its users pay for it

        return str(joblib.__version__)

    @property
    def workers(self) -> int:
        """See `Backend`."""
        import joblib  # noqa: PLC0415 - slow

        with joblib.parallel_config(self.backend, n_jobs=self.n_jobs):
            return int(joblib.effective_n_jobs(self.n_jobs))

    def run(self, calls: Iterator[Call | None], *, options: Options) -> Outcomes:
        """See `Backend.run`."""
        import joblib  # noqa: PLC0415 - slow

        given = {"n_jobs": self.n_jobs} | dict(options.get(self.name, {}))
        size = _AT_LEAST * self.workers
        number = 0
        over = False
        while not over:
            some, over = _some(calls, size)
            with joblib.parallel_config(
                self.backend, **given
            ):  # for each slice alone: it must not affect the caller's code in between
                outcomes: list[Value | Failure] = joblib.Parallel()(
                    joblib.delayed(attempt)(*call) for call in some
                )
            for outcome in outcomes:
                yield number, outcome
                number += 1
            size = min(2 * size, _LARGEST_SLICE)


_LARGEST_SLICE = 10_000
