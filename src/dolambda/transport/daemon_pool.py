"""Threads for blocking calls: large objects.

**Input:** calls. **Output:** the calls, made in some thread.

The pool of `concurrent.futures` is unsuitable: the interpreter's end would wait for its threads,
and so for minutes if the network is gone.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING, Any

from dolambda.transport.clean_up import left

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("dolambda")


class DaemonPool:
    """Up to ``threads`` daemon threads, each started when it is needed. Thread-safe."""

    def __init__(self, threads: int, name: str) -> None:
        """Create the pool. No thread is started yet."""
        self._most = threads
        self._name = name
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._pending = 0
        self._closed = False

    def submit(self, call: Callable[[], Any]) -> None:
        """Have a call made.

        Raises:
            RuntimeError: The pool is closed, or not even one thread can be started.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            if self._pending >= len(self._threads) and len(self._threads) < self._most:
                self._grow()
            self._pending += 1
            self._calls.put(call)

    def close(self, until: float) -> None:
        """Drop waiting calls. Wait for running ones, at most until ``until``."""
        with self._lock:
            self._closed = True
            while not self._calls.empty():
                self._calls.get()
            for _ in self._threads:
                self._calls.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(left(until))

    def _grow(self) -> None:
        thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
            return  # the existing threads suffice
        self._threads.append(thread)

    def _serve(self) -> None:
        while call := self._calls.get():
            try:
                call()
            except BaseException:  # a defect: calls handle their own errors
                log.exception("a call in the background failed")
            del call
            with self._lock:
                self._pending -= 1
