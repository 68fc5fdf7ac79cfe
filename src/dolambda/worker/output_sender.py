"""Sender of a long task's output to the bucket while it runs, for ``logs="live"``.

**Input:** the current task's output so far. **Output:** parts (`OutputPart`), each once. The reply
still contains the whole output, so a part that is lost is only shown later.

Lines travel whole, unless one stays unfinished from one part to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.wire.output_part import MAX_DATA, OutputPart
from dolambda.worker.child import now
from dolambda.worker.waits import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.wire.job import Job


class OutputSender:
    """Sender of the parts of one job.

    Args:
        job: The job.
        interval: Shortest pause between two parts, in seconds.
        worker: Name of the worker.
        key: Key that signs the parts.
        put: Writes an object. Returns whether it was written.
        first: Seconds that a task has run before its first part.
    """

    def __init__(
        self,
        job: Job,
        interval: float,
        worker: str,
        key: bytes,
        put: Callable[[str, bytes], bool],
        *,
        first: float = DEFAULT.first_part,
    ) -> None:
        self._job = job
        self._interval = interval
        self._worker = worker
        self._key = key
        self._put = put
        self._first = first
        self._number = 0
        self._turn = -1
        self._task: int | None = None
        self._sent = 0  # bytes of this task's output
        self._unfinished = False  # the last call found only the beginning of a line
        self._due = 0.0

    def begin_turn(self) -> None:
        """Begin with a new process: its tasks print from the beginning."""
        self._turn += 1
        self._task = None

    def is_due(self, task: int, begun: float) -> bool:
        """Return whether it is time for a part. The current task has run since ``begun``."""
        if task != self._task:
            self._task, self._sent, self._unfinished = task, 0, False
            self._due = max(self._due, begun + self._first)
        return now() >= self._due

    def send(self, peek: Callable[[int, int], bytes]) -> bool:
        """Send the new output of the current task. Return False if that was not possible.

        ``peek`` returns bytes of its output, by their start and largest number.
        """
        self._due = now() + self._interval
        found = peek(self._sent, MAX_DATA)
        data = found[: _end_of_lines(found)]
        if not data and found and (self._unfinished or len(found) == MAX_DATA):
            data = found
        self._unfinished = bool(found) and not data
        if not data:
            return True
        job = self._job
        part = OutputPart(
            job.run,
            job.number,
            job.attempt,
            self._worker,
            self._number,
            self._turn,
            self._task or 0,
            self._sent,
            data,
        )
        self._number += 1  # also if it fails: it may have been written
        if not self._put(part.key, part.to_bytes(self._key)):
            return False
        self._sent += len(data)
        return True


def _end_of_lines(data: bytes) -> int:
    """Return the end of the last whole line.

    A final carriage return may be half of a line break.
    """
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, max(0, len(data) - 1))) + 1
