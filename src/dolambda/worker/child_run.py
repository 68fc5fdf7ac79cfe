"""The tasks of one job in one child, supervised until all are done or the child must be replaced.

**Input:** a child that has begun a job. **Output:** an outcome for each task that needs no other
child, in order.

The current task is to blame for the end of the child, and its outcome is the last. But if the child
ran other tasks before, they may have caused the end. Then the current task gets a child of its own.
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
from dolambda.worker.waits import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolambda.wire.job import Job
    from dolambda.worker.child import Child, End
    from dolambda.worker.frames import Frame
    from dolambda.worker.output_sender import OutputSender
    from dolambda.worker.questions import QuestionTimes

log = logging.getLogger("dolambda")

LOOK = 0.02
"""Seconds between two checks of a task's memory use.

The memory that can be allocated in between, at 1 GB a second, is within `SPARE`.
"""

SPARE = 24.0
"""MB of the worker's memory that tasks cannot use.

If all memory is used, Lambda ends the whole environment, without a reply. `Child.memory` counts
what the child shares with this process too. tests/integration/test_sandbox.py ends a worker when
all of its processes together exceed the memory: tasks that take too much are stopped before.
"""

_BEFORE_LIMIT_S = 2.0  # before a time limit no output is sent: a request may take a second

_CANCELLED = Lost(CANCELLED, "it was stopped, because its job was cancelled")


class Watch:
    """Periodic question whether a job is still wanted."""

    def __init__(
        self,
        wanted: Callable[[], bool],
        times: QuestionTimes,
        run: str,
        grace: float = DEFAULT.grace,
    ) -> None:
        """Prepare the questions: ``wanted`` answers them, ``next`` is the time of the next one.

        After a no, the current task has ``grace`` seconds to finish.
        """
        self._grace = grace
        self._wanted = wanted
        self._times = times
        self._cancelled = False
        self.next = times.begin(run, now())

    def still_wanted(self) -> bool:
        """Ask if it is time to. After a no, return False when the time to finish is over."""
        if now() < self.next:
            return True
        if self._cancelled:
            self.next = now() + self._grace
            return False
        still = self._ask()
        self._cancelled = not still
        after = self._times.asked(now())
        self.next = after if still else now() + self._grace
        return still

    def ask_soon(self) -> None:
        """Ask at once, unless it is known already that it is not wanted."""
        if not self._cancelled:
            self.next = now()

    def _ask(self) -> bool:
        try:
            return self._wanted()
        except Exception as error:  # noqa: BLE001 - without an answer the job is wanted
            log.warning("could not ask whether the job is still wanted: %r", error)
            return True


class ChildRun:
    """The time of one child with a job."""

    def __init__(
        self,
        child: Child,
        job: Job,
        limit: float,
        watch: Watch,
        memory: int | None,
        output: OutputSender | None = None,
    ) -> None:
        """Prepare the supervision.

        ``limit`` is when the job's time is over. The worker has ``memory`` MB. ``output`` sends
        what tasks print.
        """
        self._child = child
        self._run, self._number = job.run, job.number
        self._indexes = job.indexes()
        self._task_timeout = job.task_timeout
        self._limit = limit
        self._watch = watch
        self._memory = memory
        self._output = output
        if output:
            output.begin_turn()
        self._tables: list[OutcomeTable] = []
        self._taken = 0  # outcomes in the tables
        self._seen = 0  # outcomes that existed at the last check
        self._begun = now()  # when the current task began
        self._used = child.used
        self._stopping = False

    def run(self) -> OutcomeTable:
        """Return the outcomes when all tasks are done or the child has ended."""
        while self._child.alive and self._taken < len(self._indexes):
            self._step()
        return OutcomeTable.joined(self._tables)

    @property
    def _index(self) -> int:
        """Index of the current task, or of the last one."""
        return self._indexes[min(self._taken, len(self._indexes) - 1)]

    def _step(self) -> None:
        """Wait for the next event of the current task."""
        until = self._limit
        if self._task_timeout:
            until = min(until, self._begun + self._task_timeout)
        try:
            frame = self._child.wait(min(until, self._watch.next, now() + LOOK) - now())
            if frame:
                self._take(frame)
        except ChildGoneError:
            end = self._child.end(kill=False)
            self._end_with(self._crashed, end, known=not (end.why or self._child.is_restless()))
        except FrameError as error:
            end = self._child.end(kill=True)
            self._end_with(partial(_scribbled, str(error)), end, known=False)
        else:
            if not frame:
                self._look_at(until)
        if self._child.alive and not self._watch.still_wanted():
            self._cancel()

    def _look_at(self, until: float) -> None:
        """Check the progress of the child, and whether the current task is within its limits."""
        seen = self._taken + self._child.committed()
        if seen != self._seen:
            self._seen, self._begun, self._used = seen, now(), True
        elif now() >= until:
            self._time_out(until)
            return
        if self._over_memory_limit():
            self._run_out_of_memory()
        elif self._output and self._seen < len(self._indexes):
            self._send_output(self._output, until)

    def _send_output(self, output: OutputSender, until: float) -> None:
        """Send what the current task has printed, if it is time to.

        Nothing is watched meanwhile.
        """
        if not output.is_due(self._indexes[self._seen], self._begun):
            return
        if until - now() < _BEFORE_LIMIT_S or self._over_memory_limit(spare=2 * SPARE):
            return
        if not output.send(self._peek):
            self._watch.ask_soon()

    def _peek(self, start: int, most: int) -> bytes:
        """Return output of the current task; nothing if it has just ended."""
        data = self._child.peek_output(start, most)
        return data if self._taken + self._child.committed() == self._seen else b""

    def _take(self, frame: Frame) -> None:
        """Process a frame about the child's outcomes."""
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
        # The task is done. The next one must not suffer for the memory that it left.
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
        """Keep the outcomes of an ended child. The current task is lost, which is also logged.

        If it is not ``known`` to be the cause, because an earlier task may have closed or written
        to descriptors, or left a thread, it gets a child of its own, unless no other task has run
        in this one.
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
        if not (used or self._taken):  # otherwise the task gets a child of its own
            self._end_with(self._crashed, end)

    def _time_out(self, until: float) -> None:
        end = self._child.end(kill=True)
        before = self._taken
        self._take_region()
        if self._taken >= len(self._indexes) or self._taken > max(before, self._seen):
            return
        if until == self._limit and self._taken:
            # It had only the time that the other tasks left: it gets the whole time of a job.
            return
        seconds = now() - self._begun
        self._end_with(partial(_timed_out, seconds), end)

    def _cancel(self) -> None:
        if not self._stopping:  # it has `Waits.grace` to finish
            self._child.stop_before_next()
            self._stopping = True
            return
        self._child.end(kill=True)
        self._take_region()
        self._add(all_lost(self._indexes[self._taken :], _CANCELLED))

    def _over_memory_limit(self, spare: float = SPARE) -> bool:
        return self._memory is not None and self._child.memory() > self._memory - spare

    def _crashed(self, index: int, end: End) -> Lost:
        """Return why a task has ended its child.

        If it was killed with almost no memory left, the reason is memory.
        """
        if self._memory and end.by_kill and end.peak > self._memory - 2 * SPARE:
            return Lost(
                OUT_OF_MEMORY,
                f"task {index} ran out of memory: it had used {end.peak:,.0f} of the worker's "
                f"{self._memory:,} MB when it needed more",
                "Deploy the stack with more memory (`dolambda deploy --memory`, or memory= of "
                'register("local"); at most 10,240), or split the task into smaller ones.',
            )
        return Lost(
            CRASHED,
            f"task {index} ended its worker process: {end.how} (it had used up to {end.peak:,.0f} "
            "MB)",
            end.why
            or "Check whether it calls os._exit or crashes in compiled code. Its last output, if "
            "any, "
            "is shown above.",
        )


def all_lost(indexes: Sequence[int], lost: Lost) -> OutcomeTable:
    """Return ``lost`` as the outcome of each task."""
    return OutcomeTable.from_outcomes([PackedOutcome.from_lost(index, lost) for index in indexes])


def _timed_out(seconds: float, index: int, _end: End) -> Lost:
    return Lost(
        TIMED_OUT,
        f"task {index} was stopped after {seconds:.1f} s, at its time limit",
        "Split it into smaller tasks, allow it more time (task_timeout=) or deploy the stack with "
        "a "
        "longer timeout "
        "(at most 900 s).",
    )


def _scribbled(error: str, index: int, _end: End) -> Lost:
    return Lost(
        CRASHED,
        f"task {index} wrote to the pipe of its worker process, where {error} was found",
        "Check whether it writes to file descriptors that it did not open.",
    )
