"""Live output: the lines that tasks print, shown while they run.

    OutputParts.take -> LiveOutput.show   lines of a task, in order, as soon as they are found
    Reply            -> LiveOutput.rest   lines that were not shown before

**Input:** parts of the output of tasks, and their whole output with their replies. **Output:** each
line, once, to a relay. A task whose job is sent again, or that a worker runs again, is followed in
its last attempt. If another attempt counts in the end, its output is shown whole, and labelled.
"""

from __future__ import annotations

import codecs
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

from dolambda.errors import DolambdaError
from dolambda.scheduler.part_rates import MIN_INTERVAL_S
from dolambda.transport.clean_up import CleanUp, left
from dolambda.wire.kept_output import LIMIT, with_note, without_note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolambda.wire.output_part import OutputPart

log = logging.getLogger("dolambda")

_FIRST_S = 2.0  # as long as a worker waits before it sends a part
_FIRST_LOOK_S = 2.5  # when that part is there: an earlier look would only delay the next one
_SLOWER, _MAX_PAUSE_S = 1.5, 4.0


class PartSource(Protocol):
    """A source of parts."""

    def take(self) -> Sequence[OutputPart]:
        """Return the existing parts, and remove them. It may block and raise `DolambdaError`."""
        ...


class _Stream:
    """The output of one attempt of a task, as far as it was shown."""

    def __init__(self, part: OutputPart | None = None) -> None:
        """Follow the attempt of a part."""
        self.attempt, self.turn = (part.attempt, part.turn) if part else (0, 0)
        self.worker = part.worker if part else ""
        self.nbytes = 0
        self.text = ""  # the beginning, as far as a reply keeps it
        self.ends_line = True
        self.over = False
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def follows(self, part: OutputPart) -> bool:
        """Return whether a part belongs to this attempt and continues it."""
        mine = (self.attempt, self.turn, self.worker) == (part.attempt, part.turn, part.worker)
        return mine and part.start <= self.nbytes < part.start + len(part.data)

    def is_older(self, part: OutputPart) -> bool:
        """Return whether a part belongs to a later attempt.

        Of two concurrent ones the first counts.
        """
        return (self.attempt, self.turn) < (part.attempt, part.turn)

    def add(self, part: OutputPart) -> str:
        """Return the text of a part that was not shown."""
        data = part.data[self.nbytes - part.start :]
        self.nbytes += len(data)
        text = self._decoder.decode(data)
        if len(self.text) < LIMIT:
            self.text += text
        return text

    def rest_of(self, output: str) -> str | None:
        """Return the rest of a whole output, or None if that belongs to another attempt."""
        kept, more = without_note(output)
        # The last kept character may be cut.
        if not (kept.startswith(self.text) or (more and self.text.startswith(kept[:-1]))):
            return None
        return with_note(kept[len(self.text) :], min(more, more + LIMIT - self.nbytes))


class LiveOutput:
    """The output of the tasks of one run. Thread-safe.

    Args:
        parts: The source of parts.
        relay: Gets a task's index, lines that it printed, and whether it failed.
        clean_up: Limits the time of `close`.
        clock: Seconds that only go forward.

    Attributes:
        is_busy: Returns whether jobs are in flight. Else it sends no requests.
    """

    def __init__(
        self,
        parts: PartSource,
        relay: Callable[[int, str, bool], None],
        *,
        clean_up: CleanUp | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_busy: Callable[[], bool] = lambda: True
        self._parts = parts
        self._relay = relay
        self._clean_up = clean_up or CleanUp()
        self._clock = clock
        self._lock = threading.Lock()
        self._streams: dict[int, dict[int, _Stream]] = {}  # by job and task
        self._sent_at: dict[int, float] = {}  # of jobs without a reply
        self._first_job = sys.maxsize  # earlier ones were sent by an earlier client of a named run
        self._first_sent = 0.0
        self._replied: set[int] = set()  # jobs with parts that may still arrive
        self._closing = threading.Event()
        self._gone = False
        self._thread: threading.Thread | None = None

    # Methods that a run calls.

    def job_sent(self, job: int) -> None:
        """Poll for the output of a job from now on."""
        with self._lock:
            self._sent_at.setdefault(job, self._clock())
            self._first_job = min(self._first_job, job)
            if self._thread is not None:
                return
            self._first_sent = self._clock()
            self._thread = threading.Thread(
                target=self._watch, name="dolambda-live-output", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # no thread can be started: the output comes with the replies
                log.debug("what tasks print is not looked for", exc_info=True)

    def rest(self, job: int, task: int, output: str) -> str:
        """Return the rest of the output of a task that has ended."""
        with self._lock:
            stream = self._streams.setdefault(job, {}).setdefault(task, _Stream())
            stream.over = True
            rest = stream.rest_of(output)
            if rest is None:
                return f"(output of another attempt)\n{output}"
            return _continued(rest, stream)

    def job_replied(self, job: int) -> None:
        """Show no more parts of a job: its whole output was shown."""
        with self._lock:
            self._streams.pop(job, None)
            sent_at = self._sent_at.pop(job, None)
            if sent_at is not None and self._clock() - sent_at >= _FIRST_S:
                self._replied.add(job)

    def close(self, *, gone: bool = False) -> None:
        """Show and remove the last parts, within the time of clean-up.

        With ``gone``, the source of parts no longer exists.
        """
        self._gone = gone
        self._closing.set()
        if self._thread and self._thread.is_alive():
            self._thread.join(left(self._clean_up.until()))

    # The thread.

    def _watch(self) -> None:
        """Poll for parts until closed, and once more."""
        wait, pause = _FIRST_LOOK_S, MIN_INTERVAL_S
        while not self._closing.wait(wait):
            found = self._take() if self.is_busy() else 0
            wait = pause = MIN_INTERVAL_S if found else min(pause * _SLOWER, _MAX_PAUSE_S)
        if not self._gone and self._clock() - self._first_sent >= _FIRST_S:
            self._take()

    def _take(self) -> int:
        """Show the existing parts. Return their number."""
        try:
            parts = self._parts.take()
        except DolambdaError as error:
            log.debug("what tasks print could not be looked for: %s", error)
            return 0
        for part in parts:
            self.show(part)
        return len(parts)

    def show(self, part: OutputPart) -> None:
        """Show the new lines of a part."""
        with self._lock:
            if part.job < self._first_job or part.job in self._replied:
                return
            streams = self._streams.setdefault(part.job, {})
            stream = streams.get(part.task)
            if stream is None or (stream.is_older(part) and not stream.over):
                if stream is not None and stream.nbytes:
                    later = part.attempt > stream.attempt
                    again = f"(attempt {part.attempt})\n" if later else "(run again)\n"
                    self._show(part.task, again)
                stream = streams[part.task] = _Stream(part)
            if not stream.over and stream.follows(part):
                self._show(part.task, _continued(stream.add(part), stream))

    def _show(self, task: int, text: str) -> None:
        if not text:
            return
        try:
            self._relay(task, text, False)  # noqa: FBT003 - a relay's signature
        except BaseException:
            log.debug("the output of task %s could not be shown", task, exc_info=True)


def _continued(text: str, stream: _Stream) -> str:
    """Return text without the end of a line that was already shown as a line."""
    if not stream.ends_line:
        text = text.removeprefix("\r").removeprefix("\n")
    if text:
        stream.ends_line = text[-1] in "\r\n"
    return text
