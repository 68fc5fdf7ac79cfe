"""``concurrent.futures`` on Lambda. On entry: calls; on leaving: `concurrent.futures.Future` objects.

with LambdaExecutor() as executor:
    print(list(executor.map(simulate, range(1000))))
"""

from __future__ import annotations

import contextlib
import itertools
import time
import weakref
from collections import deque
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from dolambda import session as ending
from dolambda.errors import ConfigurationError
from dolambda.options import checked
from dolambda.scheduler.results import Pieces, values_of
from dolambda.session import Session, current, default_session
from dolambda.wrappers.initializer import with_initializer
from dolambda.wrappers.seeding import Seed, Seeded, SeededResultReader, takes_rng

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from concurrent.futures import Future
    from types import TracebackType

    from dolambda.scheduler.report import Report
    from dolambda.scheduler.retries import Retries
    from dolambda.scheduler.run import Run

P = ParamSpec("P")
T = TypeVar("T")


class LambdaExecutor(Executor):
    """Runs calls on the workers of a stack; by default the one registered, or AWS emulated on this machine.

    ``max_workers`` bounds how many run at a time (None: all that the stack allows). ``initializer`` is called with ``initargs`` once
    in each worker process, before its first task. ``task_timeout`` is each task's limit in seconds. ``retries`` runs a failed task
    again: that often, or as a `Retries` says. ``batch`` fixes how many tasks go into one job (None: learnt as they run).
    ``progress``, ``transport`` and ``budget`` (dollars) are what they are in `register`. A task's exception is raised as itself by
    ``result()``; one without an answer raises a `LostError`. ``run`` names the run: begun again under that name, with the same code and
    inputs, it sends only what has no reply yet (`dolambda runs` shows them). ``env`` are environment variables of its tasks.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        initializer: Any = None,
        initargs: tuple[Any, ...] = (),
        task_timeout: float | None = None,
        retries: int | Retries | None = None,
        batch: int | None = None,
        progress: bool | Callable[[Report], None] | None = None,
        transport: Literal["queue", "direct"] | None = None,
        budget: float | None = None,
        run: str | None = None,
        env: Mapping[str, str] | None = None,
        session: Session | None = None,
    ) -> None:
        """Raises `ConfigurationError` (a ValueError) for a number that makes no sense. Nothing is sent yet."""
        width: object = max_workers
        if isinstance(width, int) and width <= 0:  # in the words of the standard library
            raise ConfigurationError(
                f"max_workers must be greater than 0, got {max_workers}",
                hint="Leave max_workers= out for the default.",
            )
        options = checked(
            {
                "max_workers": max_workers,
                "batch": batch,
                "task_timeout": task_timeout,
                "retries": retries,
                "progress": progress,
                "transport": transport,
                "budget": budget,
                "run": run,
                "env": env,
            }
        )
        if not (initializer is None or callable(initializer)):
            raise TypeError(f"initializer={initializer!r} is not a function")
        self._wrap = with_initializer(initializer, initargs)
        self._session = session or current(default_session)
        self._run: Run = self._session.open_run(workers=options.pop("max_workers", None), **options)
        self._max_workers = self._run.limits.workers  # what dask asks an executor for its width
        self._down = False
        weakref.finalize(
            self, self._run.close, wait=False
        )  # one that is dropped without shutdown ends when its tasks are done

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `concurrent.futures.Executor.submit`."""
        self._refuse_down()
        return self._run.submit_one((self._wrap(fn), args, kwargs))

    @overload
    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = ...,
        chunksize: int = ...,
        buffersize: int | None = ...,
        return_exceptions: Literal[False] = ...,
        order_outputs: bool = ...,
        seed: Any = ...,
        seed_everywhere: bool = ...,
    ) -> Iterator[T]: ...

    @overload
    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = ...,
        chunksize: int = ...,
        buffersize: int | None = ...,
        return_exceptions: Literal[True],
        order_outputs: bool = ...,
        seed: Any = ...,
        seed_everywhere: bool = ...,
    ) -> Iterator[T | Exception]: ...

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        return_exceptions: bool = False,
        order_outputs: bool = True,
        seed: Any = None,
        seed_everywhere: bool = False,
    ) -> Iterator[T | Exception]:
        """See `concurrent.futures.Executor.map`. Jobs hold as many tasks as pays, so ``chunksize`` is only checked.

        ``buffersize`` bounds how many results may be ahead of the one taken, so that inputs can be endless.
        ``return_exceptions`` gives a failed task's exception in the place of its result. Without ``order_outputs`` results come
        as tasks are done.

        With ``seed`` each task has its own random stream, a numpy Generator passed as ``rng`` to a function that takes it: the same
        numbers for a seed and a place, whatever the batch size or retry (see `foreach`).
        """
        if chunksize < 1:
            raise ConfigurationError(
                "chunksize must be >= 1.", hint="Leave chunksize= out for the default."
            )
        drawn = Seed.of(seed, everywhere=seed_everywhere)
        arguments: Iterator[tuple[Any, ...]] = zip(*iterables, strict=False)
        function: Callable[..., Any] = fn
        if drawn:
            function = Seeded(fn, drawn, takes_rng=takes_rng(fn))
            arguments = (((place,), *args) for place, args in enumerate(arguments))
        results = self._map(
            function,
            arguments,
            timeout,
            buffersize,
            return_exceptions=return_exceptions,
            order_outputs=order_outputs,
        )
        return _opened(results) if drawn else results

    def starmap(
        self,
        fn: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        *,
        timeout: float | None = None,
        buffersize: int | None = None,
        order_outputs: bool = True,
    ) -> Iterator[T]:
        """As `map`, with each task's arguments already together: ``fn(*arguments)`` for each of ``iterable``."""
        return self._map(
            fn,
            map(tuple, iterable),
            timeout,
            buffersize,
            return_exceptions=False,
            order_outputs=order_outputs,
        )

    def for_each(
        self, fn: Callable[..., object], *iterables: Iterable[Any], timeout: float | None = None
    ) -> None:
        """As `map`, for what tasks do rather than give: waits for all of them and keeps no results."""
        deque(self.map(fn, *iterables, timeout=timeout, order_outputs=False), maxlen=0)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the base class's signature
        """See `concurrent.futures.Executor.shutdown`. The run's objects are removed once its last task is done."""
        self._down = True
        if (
            self._session.of_another_process
        ):  # the tasks are the parent's, and so are the threads that would end them
            return
        if cancel_futures:
            self._run.cancel_waiting()
        self._run.close(wait=wait)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Wait for all tasks; after Ctrl-C cancel them instead."""
        if (
            kind is not None
            and issubclass(kind, KeyboardInterrupt)
            and not self._session.of_another_process
        ):
            self._run.cancel()
        return super().__exit__(kind, error, trace)

    @property
    def report(self) -> Report:
        """What this executor has done and taken so far."""
        return self._run.report()

    def _refuse_down(self) -> None:
        if self._down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if ending.interpreter_ends:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self._session.refuse_fork()

    def _map(
        self,
        function: Callable[..., Any],
        arguments: Iterator[tuple[Any, ...]],
        timeout: float | None,
        buffersize: int | None,
        *,
        return_exceptions: bool,
        order_outputs: bool,
    ) -> Generator[Any, None, None]:
        if buffersize is not None and buffersize < 1:
            raise ConfigurationError(
                "buffersize must be >= 1.", hint="Leave buffersize= out for the default."
            )
        self._refuse_down()
        deadline = None if timeout is None else time.monotonic() + timeout
        pieces = Pieces(in_order=order_outputs)
        wrapped = self._wrap(function)

        def submit(count: int | None) -> None:
            self._run.submit_stream(wrapped, itertools.islice(arguments, count), pieces.receiver)

        submit(buffersize)
        more = None if buffersize is None else partial(submit, 1)
        return values_of(pieces, more, deadline, return_exceptions=return_exceptions)


def _opened(results: Generator[Any, None, None]) -> Iterator[Any]:
    """The results of seeded calls, as the calls gave them."""
    opener = SeededResultReader()
    with contextlib.closing(results):
        for result in results:
            yield opener.open(result, stacklevel=2)
