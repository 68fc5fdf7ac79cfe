"""``concurrent.futures`` on Lambda.

**Input:** calls. **Output:** `concurrent.futures.Future` objects.

with LambdaExecutor() as executor:
    print(list(executor.map(simulate, range(1000))))
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from dolambda.arguments import Source
from dolambda.current_session import current
from dolambda.errors import ConfigurationError
from dolambda.interpreter_end import INTERPRETER_END
from dolambda.options import RULES, RunOptions
from dolambda.scheduler.results import Pieces, values_of
from dolambda.wrappers.initializer import with_initializer
from dolambda.wrappers.seeding import Seed, Seeded, SeededResultReader, takes_rng

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from concurrent.futures import Future
    from types import TracebackType

    from dolambda.scheduler.report import Report
    from dolambda.scheduler.retries import Retries
    from dolambda.scheduler.run import Run
    from dolambda.session import Session

P = ParamSpec("P")
T = TypeVar("T")


class LambdaExecutor(Executor):
    """A `concurrent.futures.Executor` whose tasks run on Lambda.

    A task's own exception is raised by ``result()``. A task without an outcome raises a
    `LostError`.

    Args:
        max_workers: Largest number of workers at a time. Default: all that the stack allows.
        initializer: Function that is called once in each worker process, before its first task.
        initargs: Arguments of ``initializer``.
        task_timeout: Time limit of each task, in seconds.
        retries: Number of times that a failed task is run again, or a `Retries` policy.
        batch: Number of tasks in one job. Default: learnt from how long tasks take.
        progress: As in `register`.
        transport: "queue" or "direct", see `register`.
        budget: Largest cost of this executor's tasks, in dollars.
        logs: "relay", "live", "errors" or False, see `register`.
        run: Name of the run. Started again under this name, with the same code and inputs, it sends
            only the tasks without a reply. `dolambda runs` lists named runs.
        env: Environment variables of its tasks.
        session: The session to use. Default: the one that `register` made current.

    Raises:
        ConfigurationError: An argument cannot work. Nothing was sent.

    Example:
        >>> with LambdaExecutor() as executor:
        ...     print(executor.submit(pow, 2, 10).result())
        1024
    """

    _down = False  # whether it takes no more tasks

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
        logs: bool | Literal["relay", "live", "errors"] | None = None,
        run: str | None = None,
        env: Mapping[str, str] | None = None,
        session: Session | None = None,
    ) -> None:
        """Open the executor's run. Nothing is sent yet.

        Raises:
            ConfigurationError: An argument cannot work. It is also a ValueError.
        """
        width: object = max_workers
        if isinstance(width, int) and width <= 0:  # the message of the standard library
            raise ConfigurationError(
                f"max_workers must be greater than 0, got {max_workers}",
                hint="Leave max_workers= out for the default.",
            )
        if max_workers is not None:
            max_workers = RULES["max_workers"].check(max_workers, Source.argument("max_workers"))
        options = RunOptions(
            workers=max_workers,
            batch=batch,
            task_timeout=task_timeout,
            retries=retries,
            progress=progress,
            transport=transport,
            budget=budget,
            logs=logs,
            run=run,
            env=env,
        )
        if not (initializer is None or callable(initializer)):
            raise TypeError(f"initializer={initializer!r} is not a function")
        self._wrap = with_initializer(initializer, initargs)
        self._session = session or current()
        self._run: Run = self._session.open_run(options)
        self._max_workers = self._run.limits.workers  # dask reads an executor's width from it
        # An executor that is dropped without shutdown ends when its tasks are done.
        self._session.dropped.watch(self, self._run)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function on a worker.

        Args:
            fn: The function.
            *args: Its arguments.
            **kwargs: Its keyword arguments.

        Returns:
            A `concurrent.futures.Future` of the result.

        Raises:
            NotPicklableError: The function or an argument cannot be pickled.
            RuntimeError: The executor was shut down.

        Example:
            >>> with LambdaExecutor() as executor:
            ...     executor.submit(divmod, 17, 5).result()
            (3, 2)
        """
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
        """Call a function for each item, on workers.

        Args:
            fn: The function.
            *iterables: Its arguments. The shortest iterable ends the map.
            timeout: Seconds after which waiting for a result raises TimeoutError.
            chunksize: Checked, but not used: the size of jobs adapts to the tasks.
            buffersize: Largest number of results ahead of the one that is read, so that inputs may
                be endless.
            return_exceptions: Return a failed task's exception in the place of its result.
            order_outputs: Yield results in order. False yields them as tasks finish.
            seed: A whole number, several, or a SeedSequence. Each task has its own random stream, a
                numpy Generator that is passed as ``rng`` to a function that takes it. The numbers
                depend on seed and position alone.
            seed_everywhere: Also seed `random` and `numpy.random` in each task.

        Returns:
            An iterator over the results. It raises a failed task's exception in its place.

        Raises:
            ConfigurationError: An argument cannot work.
            NotPicklableError: The function or an argument cannot be pickled.
            RuntimeError: The executor was shut down.

        Example:
            >>> with LambdaExecutor() as executor:
            ...     list(executor.map(pow, range(4), [2] * 4))
            [0, 1, 4, 9]
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
        """Call a function for each tuple of arguments, on workers.

        Args:
            fn: The function.
            iterable: Tuples of its arguments.
            timeout: Seconds after which waiting for a result raises TimeoutError.
            buffersize: Largest number of results ahead of the one that is read.
            order_outputs: Yield results in order. False yields them as tasks finish.

        Returns:
            An iterator over the results. It raises a failed task's exception in its place.

        Raises:
            NotPicklableError: The function or an argument cannot be pickled.
            RuntimeError: The executor was shut down.

        Example:
            >>> with LambdaExecutor() as executor:
            ...     list(executor.starmap(pow, [(2, 3), (3, 2)]))
            [8, 9]
        """
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
        """Call a function for each item, for its side effects. Wait for all tasks.

        No results are kept, so that inputs may be many.

        Args:
            fn: The function.
            *iterables: Its arguments. The shortest iterable ends the calls.
            timeout: Seconds after which waiting raises TimeoutError.

        Raises:
            Exception: A task's own exception. The first one cancels the rest.
            TimeoutError: Not all tasks have ended in time.

        Example:
            >>> with LambdaExecutor() as executor:
            ...     executor.for_each(abs, range(3))
        """
        deque(self.map(fn, *iterables, timeout=timeout, order_outputs=False), maxlen=0)

    # The base class's signature.
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        """Refuse new tasks, and remove the run's objects once its last task is done.

        Args:
            wait: Wait for all tasks.
            cancel_futures: Cancel tasks that have not begun.
        """
        self._down = True
        if self._session.of_another_process:
            # The tasks are the parent's, and so are the threads that would end them.
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
        """Wait for all tasks. After Ctrl-C cancel them instead."""
        if (
            kind is not None
            and issubclass(kind, KeyboardInterrupt)
            and not self._session.of_another_process
        ):
            self._run.cancel()
        return super().__exit__(kind, error, trace)

    def __repr__(self) -> str:
        """Return one line for the REPL."""
        return f"<LambdaExecutor on {self._session!r}>"

    @property
    def report(self) -> Report:
        """Counts and costs of this executor so far."""
        return self._run.report()

    def _refuse_down(self) -> None:
        if self._down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if INTERPRETER_END.has_begun:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self._session.refuse_nested()

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
        if not (buffersize is None or isinstance(buffersize, int)):
            raise TypeError(f"buffersize={buffersize!r} is not a whole number or None")
        if buffersize is not None and buffersize < 1:
            raise ConfigurationError(
                "buffersize must be >= 1.", hint="Leave buffersize= out for the default."
            )
        self._refuse_down()
        deadline = None if timeout is None else time.monotonic() + timeout
        pieces = Pieces(in_order=order_outputs, after_replies=self._run.after_replies)
        wrapped = self._wrap(function)

        def submit(count: int | None) -> None:
            calls = list(itertools.islice(arguments, count))
            if count is None:
                self._run.expect(len(calls))
            self._run.submit_stream(wrapped, calls, pieces.receiver)

        if buffersize is not None:
            self._run.expect(None)
        submit(buffersize)
        more = None if buffersize is None else partial(submit, 1)
        return values_of(pieces, more, deadline, return_exceptions=return_exceptions)


def _opened(results: Generator[Any, None, None]) -> Iterator[Any]:
    """Yield the results of seeded calls in the form in which the calls returned them."""
    opener = SeededResultReader()
    with contextlib.closing(results):
        for result in results:
            yield opener.open(result, stacklevel=2)
