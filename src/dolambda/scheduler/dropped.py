"""The runs whose owner was garbage collected: an executor, or the generator of a loop.

finalizer, in any thread -- SimpleQueue --> thread of its own --> `Run.close`, `Run.cancel`

A finalizer may be called wherever an object is allocated, also in a thread that holds a lock that
`Run.close` needs. `SimpleQueue.put` is made for finalizers: it is reentrant and does not wait.
"""

from __future__ import annotations

import logging
import threading
import weakref
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dolambda.scheduler.run import Run

log = logging.getLogger("dolambda")


class DroppedRuns:
    """Ends the runs of owners that no longer exist. Thread-safe."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Run, bool] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._queue.put, None).atexit = False

    def watch(self, owner: object, run: Run) -> None:
        """Close a run once its owner is garbage collected."""
        self.prepare()
        weakref.finalize(owner, self._queue.put, (run, False)).atexit = False

    def prepare(self) -> None:
        """Start the thread. `cancel` needs it, and a finalizer cannot start one."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(
                    target=_end_all, args=(self._queue,), name="dolambda-dropped", daemon=True
                )
                thread.start()  # kept only if it can be started
                self._thread = thread

    def cancel(self, run: Run) -> None:
        """Cancel a run soon. To be called by the finalizer of its owner: this does not wait."""
        self._queue.put((run, True))

    def stop(self) -> None:
        """End the thread. The session has closed all runs."""
        self._queue.put(None)


def _end_all(dropped: SimpleQueue[tuple[Run, bool] | None]) -> None:
    while True:
        next_one = dropped.get()
        if next_one is None:
            return
        run, is_cancelled = next_one
        try:
            run.cancel() if is_cancelled else run.close(wait=False)
        except BaseException:  # a defect, which must not keep other runs open
            log.exception("run %s could not be closed", run.name)
        del run, next_one  # no reference to its values may outlive it
