"""The thread in which replies are handed over. On entry: calls to be made; on leaving: made, in order.

One thread, as concurrent.futures has one for its processes: who unpickles results and completes futures needs the interpreter to
itself, and sixteen threads would only wait for each other (measured: twice the CPU a job). A user's callback may block, though, even
wait for another task: when one call has taken `_STUCK` seconds and others wait, another thread takes over until that is past.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("dolambda")

_STUCK = 0.1
_HELPERS = 64
_LINGER = 1.0  # seconds without a call after which a helper ends


class Landing:
    """For any thread. Close it."""

    def __init__(self, name: str) -> None:
        """No thread runs yet."""
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._finished = 0
        self._waiting = threading.Event()
        self._ended = threading.Event()

    def hand_over(self, call: Callable[[], None]) -> None:
        """Have a call made there."""
        if not self._threads:
            self._begin()
        self._calls.put(call)
        if not self._waiting.is_set():
            self._waiting.set()

    def close(self) -> None:
        """Wait until what was handed over is done, and end; from within a call, end after it."""
        with self._lock:
            self._ended.set()
            threads = list(self._threads)
        self._calls.put(None)
        self._waiting.set()
        if threading.current_thread() not in threads:
            for thread in threads:
                thread.join()

    def _begin(self) -> None:
        with self._lock:
            if not (self._threads or self._ended.is_set()):
                self._start(self._serve)
                self._start(self._watch)

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=self._name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _serve(self) -> None:
        """Make calls until the end."""
        while (call := self._calls.get()) is not None:
            self._make(call)
            del call  # nothing of it may outlive its being handed over
        self._calls.put(None)  # for the helpers

    def _help(self) -> None:
        """Make calls as long as there are some."""
        try:
            while (call := self._calls.get(timeout=_LINGER)) is not None:
                self._make(call)
                del call
            self._calls.put(None)
        except queue.Empty:
            pass
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _watch(self) -> None:
        """Start a helper when nothing is finished though calls wait. Looks only while there is something to look at."""
        while True:
            self._waiting.wait()
            before = self._finished
            if self._ended.wait(_STUCK):
                return
            if self._calls.empty():
                self._waiting.clear()
                if not self._calls.empty():  # it came in between
                    self._waiting.set()
            elif self._finished == before:
                with self._lock:
                    if len(self._threads) < _HELPERS and not self._ended.is_set():
                        self._start(self._help)

    def _make(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # what users' callbacks raise is theirs, and caught by their futures: this is a defect of ours
            log.exception("a reply could not be handed over")
        self._finished += 1
