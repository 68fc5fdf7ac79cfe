"""The joblib backend: ``Parallel(...)`` on Lambda, and so scikit-learn.

**Input:** joblib's batches of calls. **Output:** one future for each batch.

The plain calls in a batch travel, not the batch. So a worker needs no joblib of its own, and no
object of this process is pickled with them.

joblib calls `submit` under its lock and, later, from the threads that complete futures. So nothing
here blocks, completes a future within `submit`, or raises there: an exception is set on the future
instead. (Each of these would hang joblib, or slow it to one task at a time.)
"""

from __future__ import annotations

import inspect
import sys
import threading
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from joblib import Parallel, parallel
from joblib._parallel_backends import FallbackToBackend, ParallelBackendBase, SequentialBackend

from dolambda.current_session import current, is_nested
from dolambda.errors import TaskExitedError
from dolambda.known_length import known_length
from dolambda.options import OF_JOBLIB, RunOptions
from dolambda.scheduler.results import BatchFuture
from dolambda.wrappers.initializer import with_initializer

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from dolambda.scheduler.run import Run
    from dolambda.session import Session

NAME = "dolambda"
Item = tuple["Callable[..., Any]", "tuple[Any, ...]", "dict[str, Any]"]
REGISTERED = "dolambda-registered"
"""joblib's name for the backend that `register` makes the default."""


class LambdaBackend(ParallelBackendBase):
    """See `joblib.parallel.ParallelBackendBase`.

    ``n_jobs`` is the largest number of workers at a time. -1 is all of them. So is None, in a block
    that names this backend, as with joblib's own backend for dask.
    """

    default_n_jobs = -1
    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    uses_threads = False
    supports_sharedmem = False

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        **options: Any,
    ) -> None:
        """Check the options. No credentials are needed before the first call.

        Raises:
            ConfigurationError: An option is wrong.
        """
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._options = RunOptions.from_mapping(options, OF_JOBLIB)
        self._initializer, self._initargs = initializer, initargs
        self._wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function
        self._session: Session | None = None
        self._width = 1
        self._left: int | None = None  # tasks of the call that joblib has not submitted yet
        self._workers: Run | None = None  # joblib's other backends have an attribute of this name

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return the number of workers that ``n_jobs`` represents."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if is_nested():
            # In a forked worker of another backend, or in a task: run sequentially there.
            return 1
        wanted = self.default_n_jobs if n_jobs is None else n_jobs
        if wanted > 0:
            return wanted
        return max(1, current().workers + 1 + wanted)

    def configure(
        self,
        n_jobs: int | None = 1,
        parallel: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        **_options: Any,
    ) -> int:
        """Open the run of one Parallel call."""
        width = self.effective_n_jobs(n_jobs)
        if width == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._wrap = (
            with_initializer(initializer, initargs)
            if initializer
            else with_initializer(self._initializer, self._initargs)
        )
        self._width = width
        self._open()
        return width

    def _open(self) -> None:
        session = self._session = current()
        session.dropped.prepare()
        nesting = self.get_nested_backend()[0].nesting_level
        self._workers = session.open_run(
            replace(self._options, workers=self._width, threads=self.inner_max_num_threads),
            same_buffers=True,
            nesting=nesting,
        )

    def start_call(self) -> None:
        """Begin a call. In a `with Parallel` block there may be several.

        Arrays may change between two of them, and an error ends the run, but not the block.
        """
        if self._session and not self._workers:
            self._open()
        # joblib would return results of an earlier call, which it had aborted, with those of this.
        not_sent = getattr(self.parallel, "_ready_batches", None)
        while not_sent and not not_sent.empty():
            not_sent.get_nowait()
        if self._workers:
            self._workers.forget_buffers()
            self._left = _length_of_call()
            self._workers.expect(self._left)

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Future[list[Any]]:
        """Queue a batch, and return the future of its list of results."""
        items = func.items
        if self._left is not None:
            self._left -= len(items)
        batch = BatchFuture(len(items))
        if callback:
            batch.add_done_callback(callback)
        try:
            with batch.filling():  # joblib must not see it completed within `submit`
                self._submit_items(items, batch)
        except BaseException as error:  # noqa: BLE001 - raised here, it would hang joblib
            complete_elsewhere(batch, error)
        return batch

    def _submit_items(self, items: list[Item], batch: BatchFuture) -> None:
        """Queue calls. Consecutive calls of one function are queued together."""
        run = self._open_run()
        function = items[0][0]
        # Nearly always. `zip(*items)` would make an object that is collected for each of them.
        if all(called is function and not keywords for called, _, keywords in items):
            given = [arguments for _, arguments, _ in items]
            run.submit_stream(self._wrap(function), given, batch.receiver)
            return
        for (_, has_keywords), group in groupby(items, key=_kind):
            calls = list(group)
            some = [call[1:] if has_keywords else call[1] for call in calls]
            run.submit_stream(self._wrap(calls[0][0]), some, batch.receiver, keywords=has_keywords)

    apply_async = submit

    def _open_run(self) -> Run:
        if self._workers is None:
            raise RuntimeError("the backend was terminated")
        return self._workers

    def retrieve_result_callback(self, out: Future[list[Any]]) -> list[Any]:
        """Return a batch's results, or raise the exception of one of its tasks.

        KeyboardInterrupt is raised as itself, which joblib's users catch. In futures it would end
        an event loop or a program that catches Exception.
        """
        try:
            return out.result()
        except TaskExitedError as error:
            if not error.interrupted:
                raise
            raise KeyboardInterrupt(str(error)) from error

    def compute_batch_size(self) -> int:
        """Return the number of tasks that are worth a job, based on measured durations."""
        return self._workers.sizes.of_batch(self._left, self._width) if self._workers else 1

    # joblib's signature.
    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: FBT001, FBT002
        """Cancel the remaining tasks after an error, or when their generator is dropped.

        With ``ensure_ready``, open the run of the next call, except in place of a dropped
        generator: `start_call` opens that one.
        """
        if self._workers and self._session:
            run, self._workers = self._workers, None
            if isinstance(sys.exc_info()[1], GeneratorExit):
                self._session.dropped.cancel(run)  # perhaps in the garbage collector: not here
            else:
                run.cancel()
                if ensure_ready:
                    self._open()

    def terminate(self) -> None:
        """End the run, and remove its objects."""
        if self._workers and self._session:
            self._workers.close()
            self._workers = None

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Return the sequential backend: nested calls run one after the other in the worker."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None


class RegisteredBackend(LambdaBackend):
    """The default after `register`. Code without ``n_jobs`` stays sequential, as documented."""

    default_n_jobs = 1


def _length_of_call() -> int | None:
    """Return the number of tasks of the Parallel call that is calling this backend.

    joblib shows its backends only the tasks that it has taken from the iterable.
    """
    frame = inspect.currentframe()
    while frame and frame.f_code is not Parallel.__call__.__code__:
        frame = frame.f_back
    return known_length(frame.f_locals["iterable"]) if frame else None


def _kind(call: Item) -> tuple[int, bool]:
    return id(call[0]), bool(call[2])


def complete_elsewhere(batch: Future[list[Any]], error: BaseException) -> None:
    """Fail a future from another thread: joblib must not see it completed within `submit`."""
    _elsewhere(partial(batch.set_exception, error))


def _elsewhere(call: Callable[[], None]) -> None:
    """Make a call in another thread, or in this one if none can be started: joblib would hang."""
    try:
        threading.Thread(target=call, name="dolambda-gather", daemon=True).start()
    except RuntimeError:
        call()


def make_default() -> Callable[[], None]:
    """Make this the backend of every Parallel call that names none.

    Returns:
        A function that restores the previous backend.
    """
    before = parallel.DEFAULT_BACKEND
    parallel.register_parallel_backend(NAME, LambdaBackend)
    parallel.register_parallel_backend(REGISTERED, RegisteredBackend, make_default=True)

    def restore() -> None:
        if parallel.DEFAULT_BACKEND == REGISTERED:
            parallel.DEFAULT_BACKEND = before

    return restore
