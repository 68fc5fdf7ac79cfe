"""The tasks of one job in one child: watch over them until all are done or the child must be replaced.

**Input:** a child that has begun a job. **Output:** an outcome for each task that needs no other
child, in order.

What ends the child is the fault of the task at work, whose outcome is then the last. But where
other tasks have run in that child before, they may have left what it could not cope with: then the
task gets a child of its own.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from dolambda.wire.outcome import (
    CANCELLED,
    CRASHED,
    OUT_OF_MEMORY,
    TIMED_OUT,
    Lost,
    PackedOutcome,
)
from dolambda.wire.outcome_table import FAILURE, OutcomeTable
from dolambda.worker import log_line
from dolambda.worker.child import ChildGoneError, now
from dolambda.worker.frames import FrameError, Kind
from dolambda.worker.questions import GRACE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolambda.wire.job import Job
    from dolambda.worker.child import Child, End
    from dolambda.worker.frames import Frame
    from dolambda.worker.questions import QuestionTimes

log = logging.getLogger("dolambda")

LOOK = 0.02
"""Seconds between two looks at the memory that a task uses: what is touched meanwhile, at 1 GB a
second, is within `SPARE`.
"""

SPARE = 24.0
"""MB of the worker's memory that are not the task's: at the last of it Lambda ends the whole
environment, without a reply.
"""

_CANCELLED = Lost(CANCELLED, "its job was cancelled: it was stopped")


class Watch:
    """Asks at times whether a job is still wanted."""

    def __init__(self, wanted: Callable[[], bool], times: QuestionTimes, run: str) -> None:
        """``wanted`` is what is asked; ``next`` is when."""
        self._wanted = wanted
        self._times = times
        self._cancelled = False
        self.next = times.begin(run, now())

    def still_wanted(self) -> bool:
        """Ask, if it is time to. After a no: return False when the time to finish is over."""
        if now() < self.next:
            return True
        if self._cancelled:
            self.next = now() + GRACE_S
            return False
        still = self._ask()
        self._cancelled = not still
        after = self._times.asked(now())
        self.next = after if still else now() + GRACE_S
        return still

    def _ask(self) -> bool:
        try:
            return self._wanted()
        except Exception as error:  # noqa: BLE001 - a question without an answer is no cancellation, whatever the reason
            log.warning("could not ask whether the job is still wanted: %r", error)
            return True


class ChildRun:
    """One child's turn at a job."""

    def __init__(
        self, child: Child, job: Job, limit: float, watch: Watch, memory: int | None
    ) -> None:
        """``limit`` is when the job's time is over; the worker has ``memory`` MB."""
        self._child = child
        self._run, self._number = job.run, job.number
        self._indexes = list(job.indexes())
        self._task_timeout = job.task_timeout
        self._limit = limit
        self._watch = watch
        self._memory = memory
        self._tables: list[OutcomeTable] = []
        self._taken = 0  # outcomes in the tables
        self._seen = 0  # outcomes that were there at the last look
        self._begun = now()  # the task at work
        self._used = child.used
        self._stopping = False

    def run(self) -> OutcomeTable:
        """Return the outcomes once all tasks are done, or the child has ended."""
        while self._child.alive and self._taken < len(self._indexes):
            self._step()
        return OutcomeTable.joined(self._tables)

    @property
    def _index(self) -> int:
        """The index of the task at work, or of the last one."""
        return self._indexes[min(self._taken, len(self._indexes) - 1)]

    def _step(self) -> None:
        """Wait for what happens next to the task at work."""
        until = self._limit
        if self._task_timeout:
            until = min(until, self._begun + self._task_timeout)
        try:
            frame = self._child.wait(min(until, self._watch.next, now() + LOOK) - now())
            if frame:
                self._take(frame)
        except ChildGoneError:
            end = self._child.end(kill=False)
            self._end_with(self._crashed, end, known=not end.why)
        except FrameError as error:
            end = self._child.end(kill=True)
            self._end_with(partial(_scribbled, str(error)), end, known=False)
        else:
            if not frame:
                self._look_at(until)
        if self._child.alive and not self._watch.still_wanted():
            self._cancel()

    def _look_at(self, until: float) -> None:
        """See how far the child is, and whether the task at work is within its limits."""
        seen = self._taken + self._child.committed()
        if seen != self._seen:
            self._seen, self._begun, self._used = seen, now(), True
        elif now() >= until:
            self._time_out(until)
            return
        if self._over_memory_limit():
            self._run_out_of_memory()

    def _take(self, frame: Frame) -> None:
        """Take in what the child says of its outcomes."""
        self._begun = now()
        if frame.kind in (Kind.FULL, Kind.DONE):
            self._child.count_calls(frame)
            self._take_region()
            if frame.kind is Kind.FULL:
                self._child.continue_writing()
            elif self._taken < len(self._indexes):
                raise FrameError("the end of a job whose tasks are not all done")
        elif frame.kind in (Kind.OUTCOME, Kind.LAST):
            self._take_region()
            if self._taken >= len(self._indexes) or frame.index != self._index:
                raise FrameError(f"an outcome of task {frame.index}")
            used, table = self._used, self._child.take(frame)
            last = frame.kind is Kind.LAST
            if last and used and table.kinds[0] & 0x0F == FAILURE:
                self._child.end(kill=True)  # the task gets a child of its own
                return
            self._add(table)
            if last:
                self._child.end(kill=True)
            else:
                self._child.continue_writing()
        else:
            raise FrameError(f"a frame of kind {frame.kind.name}")
        # What a task did is done: the next one does not suffer for what it left.
        if self._child.alive and self._over_memory_limit():
            self._child.end(kill=True)

    def _take_region(self) -> None:
        self._add(self._child.take_outcomes(self._indexes[self._taken :]))

    def _add(self, table: OutcomeTable) -> None:
        if len(table):
            self._tables.append(table)
            self._taken += len(table)
            self._seen, self._used = self._taken, True

    def _end_with(self, why: Callable[[int, End], Lost], end: End, *, known: bool = True) -> None:
        """Keep what an ended child had done; the task at work is lost, which is also logged.

        Where it is not ``known`` to be the cause, as an earlier task may have closed or written to
        descriptors, it gets a child of its own, unless no other task has run in this one.
        """
        used = self._used
        self._take_region()
        if not known and (used or self._taken):
            return
        if self._taken < len(self._indexes):
            index, lost = self._index, why(self._index, end)
            log_line.write(lost.detail, run=self._run, job=self._number, task=index)
            self._add(
                OutcomeTable.from_outcomes([PackedOutcome.from_lost(index, lost, end.output)])
            )

    def _run_out_of_memory(self) -> None:
        end = self._child.end(kill=True)
        used = self._used
        self._take_region()
        if not (used or self._taken):  # else the task gets a child of its own
            self._end_with(self._crashed, end)

    def _time_out(self, until: float) -> None:
        end = self._child.end(kill=True)
        before = self._taken
        self._take_region()
        if self._taken >= len(self._indexes) or self._taken > max(before, self._seen):
            return
        if until == self._limit and self._taken:
            return  # it had only what its neighbours left of the time: it gets a job's whole time
        seconds = now() - self._begun
        self._end_with(partial(_timed_out, seconds), end)

    def _cancel(self) -> None:
        if not self._stopping:  # it is given `GRACE_S` to finish
            self._child.stop_before_next()
            self._stopping = True
            return
        self._child.end(kill=True)
        self._take_region()
        self._add(all_lost(self._indexes[self._taken :], _CANCELLED))

    def _over_memory_limit(self) -> bool:
        return self._memory is not None and self._child.memory() > self._memory - SPARE

    def _crashed(self, index: int, end: End) -> Lost:
        """Return why a task has ended its child: of memory, if it was killed with next to none left."""
        if self._memory and end.by_kill and end.peak > self._memory - 2 * SPARE:
            return Lost(
                OUT_OF_MEMORY,
                f"task {index} ran out of memory: it used {end.peak:,.0f} MB, the worker has "
                f"{self._memory:,} MB",
                "Deploy the stack with more (`dolambda deploy --memory`, at most 10,240), or cut "
                "the task into smaller ones.",
            )
        return Lost(
            CRASHED,
            f"task {index} ended its worker process: {end.how} (it had used up to {end.peak:,.0f} "
            "MB)",
            end.why
            or "Does it call os._exit, or crash in compiled code? What it printed last is shown "
            "above, if anything.",
        )


def all_lost(indexes: Sequence[int], lost: Lost) -> OutcomeTable:
    """Return an outcome for each task: that one."""
    return OutcomeTable.from_outcomes([PackedOutcome.from_lost(index, lost) for index in indexes])


def _timed_out(seconds: float, index: int, _end: End) -> Lost:
    return Lost(
        TIMED_OUT,
        f"task {index} was stopped after {seconds:.1f} s, at its time limit",
        "Cut it into smaller tasks, give it more time (task_timeout=) or deploy the stack with a "
        "longer timeout "
        "(at most 900 s).",
    )


def _scribbled(error: str, index: int, _end: End) -> Lost:
    return Lost(
        CRASHED,
        f"task {index} wrote to the pipe of its worker process, where {error} was found",
        "Does it write to file descriptors that it did not open?",
    )
