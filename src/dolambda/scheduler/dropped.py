"""The runs of executors that were garbage collected.

executor collected, in any thread -- SimpleQueue --> thread of its own --> `Run.close`

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
    """Closes the runs of owners that no longer exist. Thread-safe."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Run | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._queue.put, None).atexit = False

    def watch(self, owner: object, run: Run) -> None:
        """Close a run once its owner is garbage collected."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(
                    target=_close_all, args=(self._queue,), name="dolambda-dropped", daemon=True
                )
                thread.start()  # kept only if it can be started
                self._thread = thread
        weakref.finalize(owner, self._queue.put, run).atexit = False

    def stop(self) -> None:
        """End the thread. The session has closed all runs."""
        self._queue.put(None)


def _close_all(dropped: SimpleQueue[Run | None]) -> None:
    while True:
        run = dropped.get()
        if run is None:
            return
        try:
            run.close(wait=False)
        except BaseException:  # a defect, which must not keep other runs open
            log.exception("run %s could not be closed", run.name)
        del run  # no reference to its values may outlive it
