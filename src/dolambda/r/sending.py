"""Data for R: results as they arrive, several in one frame, and a heartbeat while R waits.

**Input:** results of tasks and lines for the user, from any thread. **Output:** frames, from one
thread.

    RESULTS   count (int32), then for each: task (int32), status (int32), length (double); the bytes
"""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import struct
import threading
from collections import defaultdict
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError, JobRefusedError, LostError, TooLargeError
from dolambda.r.error_texts import error_texts
from dolambda.r.frames import SEPARATOR, Channel, Kind
from dolambda.r.r_process import RTaskError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

log = logging.getLogger("dolambda")

TICK_S = 5.0
"""Seconds between two heartbeats. R considers a bridge that is silent for a minute to hang."""

VALUE, LOST, FATAL = 0, 1, 2
"""The status of a result: its bytes are from R, or they explain why the task is lost, or why no
task of the loop can run.
"""

_FATAL = (ConfigurationError, JobRefusedError, TooLargeError)
_COUNT = struct.Struct(">i")
_ENTRY = struct.Struct(">iid")
_MOST_BYTES = 64 << 20
_MOST_RESULTS = 2000

Result = tuple[int, int, bytes | bytearray]
"""A task's number, its status, and the bytes."""


class Sender:
    """Sender of frames to R, in a thread of its own.

    So a thread that receives results need not wait for R.
    """

    def __init__(self, channel: Channel) -> None:
        """Create a sender. ``channel`` leads to R."""
        self._channel = channel
        self._queue: queue.SimpleQueue[tuple[int, list[Result]] | str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: set[int] = set()  # loops with results that R waits for
        self._thread = threading.Thread(target=self._send, name="dolambda-r-sender", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._queue.put(None)

    def results(self, loop: int, results: list[Result]) -> None:
        """Send results of a loop."""
        self._queue.put((loop, results))

    def notice(self, line: str) -> None:
        """Send a line for the user."""
        self._queue.put(line)

    def texts(self, kind: Kind, loop: int, texts: Iterable[str]) -> None:
        """Send texts, unless R has ended."""
        with contextlib.suppress(OSError):
            self._channel.send_texts(kind, loop, texts)

    def fields(self, kind: Kind, loop: int, fields: Mapping[str, object]) -> None:
        """Send names and values, unless R has ended."""
        with contextlib.suppress(OSError):
            self._channel.send_fields(kind, loop, fields)

    def tick(self, loop: int) -> None:
        """Send heartbeats until `drop`."""
        with self._lock:
            self._waiting.add(loop)

    def drop(self, loop: int) -> None:
        """Send no more results of a loop after this call."""
        with self._lock:
            self._waiting.discard(loop)

    def _send(self) -> None:
        try:
            while self._send_some():
                pass
        except OSError as error:  # R has ended, which the reader notices too
            log.debug("nothing can be sent to R: %s", error)

    def _send_some(self) -> bool:
        """Send the results, or a heartbeat. Return whether there may be more."""
        try:
            taken = self._queue.get(timeout=TICK_S)
        except queue.Empty:
            with self._lock:
                if self._waiting:
                    self._channel.send(Kind.TICK, 0)
            return True
        waiting: defaultdict[int, list[Result]] = defaultdict(list)
        size = count = 0
        while taken is not None:
            if isinstance(taken, str):
                self._channel.send_texts(Kind.NOTICE, 0, (taken,))
            else:
                loop, results = taken
                waiting[loop] += results
                count += len(results)
                size += sum(len(data) for _, _, data in results)
            if size > _MOST_BYTES or count >= _MOST_RESULTS:
                break
            try:
                taken = self._queue.get_nowait()
            except queue.Empty:
                break
        with self._lock:
            for loop, of_loop in waiting.items():
                if loop in self._waiting:
                    self._channel.send(Kind.RESULTS, loop, *_packed(of_loop))
        return taken is not None


def _packed(results: list[Result]) -> list[bytes | bytearray]:
    heads = [_ENTRY.pack(task, status, len(data)) for task, status, data in results]
    return [_COUNT.pack(len(results)), *heads, *(data for _, _, data in results)]


def error_result(task: int, error: BaseException) -> Result:
    """Return the result of a task that has failed, or is lost."""
    if isinstance(error, RTaskError):
        return task, VALUE, error.data
    if isinstance(error, CancelledError):
        return task, LOST, _texts("CancelledError", str(error), "")
    name, what, hint = error_texts(error)
    what = re.sub(rf"\btask {task - 1}\b", f"task {task}", what)  # R counts from 1
    kind = FATAL if isinstance(error, _FATAL) or not isinstance(error, LostError) else LOST
    return task, kind, _texts(name, what, hint)


def _texts(*texts: str) -> bytes:
    return SEPARATOR.join(text.replace(SEPARATOR, " ") for text in texts).encode(errors="replace")
