"""The tasks of one job in one child: watch over them until all are done or the child must be replaced.

**Input:** a child that has begun a job. **Output:** an outcome for each task that needs no other child, in order.

What ends the child is the fault of the task at work, whose outcome is then the last. But where other tasks have run in that
child before, they may have left what it could not cope with: then the task gets a child of its own.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dolambda.wire.outcome import (
    CANCELLED,
    CRASHED,
    OUT_OF_MEMORY,
    TIMED_OUT,
    Lost,
    PackedOutcome,
)
from dolambda.worker.child import ChildGoneError, now
from dolambda.worker.frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolambda.wire.task import Job, PackedTask
    from dolambda.worker.child import Child, Done, End

log = logging.getLogger("dolambda")

WATCH = 2.0
"""Seconds between two looks whether anyone still waits for the job."""

LOOK = 0.02
"""Seconds between two looks at the memory that a task uses: what is touched meanwhile, at 1 GB a second, is within `SPARE`."""

SPARE = 24.0
"""MB of the worker's memory that are not the task's: at the last of it Lambda ends the whole environment, without a reply."""

_CANCELLED = Lost(CANCELLED, "its job was cancelled: it was stopped")


class Watch:
    """Asks every `WATCH` seconds whether anyone still waits for the job."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        """``wanted`` is what is asked; ``next`` is when."""
        self._wanted = wanted
        self.next = now() + WATCH

    def still_wanted(self) -> bool:
        """Ask, if it is time to."""
        if now() < self.next:
            return True
        try:
            return self._wanted()
        except Exception as error:  # noqa: BLE001 - a question without an answer is no cancellation, whatever the reason
            log.warning("could not ask whether the job is still wanted: %r", error)
            return True
        finally:
            self.next = now() + WATCH


class ChildRun:
    """One child's turn at a job."""

    def __init__(
        self, child: Child, job: Job, limit: float, watch: Watch, memory: int | None
    ) -> None:
        """``limit`` is when the job's time is over; the worker has ``memory`` MB."""
        self._child = child
        self._job = job
        self._limit = limit
        self._watch = watch
        self._memory = memory
        self._done: list[PackedOutcome] = []
        self._begun = now()
        self._used = child.used
        self._stopping = False

    def run(self) -> list[PackedOutcome]:
        """Return once all tasks are done, or the child has ended."""
        while self._child.alive and len(self._done) < len(self._job.tasks):
            self._step(self._job.tasks[len(self._done)])
        return self._done

    def _step(self, task: PackedTask) -> None:
        """Wait for what happens next to a task, which is at work."""
        until = self._limit
        if self._job.task_timeout:
            until = min(until, self._begun + self._job.task_timeout)
        try:
            news = self._child.wait(task.index, min(until, self._watch.next, now() + LOOK) - now())
        except ChildGoneError:
            self._done.append(self._crashed(task, self._child.end(kill=False)))
        except FrameError as error:
            self._done.append(_scribbled(task, error, self._child.end(kill=True)))
        else:
            if news:
                self._take(news)
            elif self._hoards():
                end = self._child.end(kill=True)
                if not self._used:
                    self._done.append(self._crashed(task, end))
            elif now() >= until:
                self._time_out(task, until)
        if self._child.alive and not self._watch.still_wanted():
            self._cancel()

    def _take(self, news: Done) -> None:
        if news.last and self._used and news.outcome.kind == "failure":
            self._child.end(kill=True)
            return
        self._done.append(news.outcome)
        self._begun, self._used = now(), True
        # What the task did is done; the next one does not suffer for what it left.
        if news.last or self._hoards():
            self._child.end(kill=True)

    def _time_out(self, task: PackedTask, until: float) -> None:
        end = self._child.end(kill=True)
        if until == self._limit and self._done:
            return  # it had only what its neighbours left of the time: let it have a job's whole time
        lost = Lost(
            TIMED_OUT,
            f"task {task.index} was stopped after {now() - self._begun:.1f} s, at its time limit",
            "Cut it into smaller tasks, give it more time (task_timeout=) or deploy the stack with a longer timeout "
            "(at most 900 s).",
        )
        self._done.append(PackedOutcome.from_lost(task.index, lost, end.output))

    def _cancel(self) -> None:
        if not self._stopping:  # it is given the time between two looks to come to its end
            self._child.stop_before_next()
            self._stopping = True
            return
        self._child.end(kill=True)
        self._done += all_lost(self._job.tasks[len(self._done) :], _CANCELLED)

    def _hoards(self) -> bool:
        return self._memory is not None and self._child.memory() > self._memory - SPARE

    def _crashed(self, task: PackedTask, end: End) -> PackedOutcome:
        """The outcome of a task that has ended its child: of memory, if it was killed with next to none left."""
        if self._memory and end.by_kill and end.peak > self._memory - 2 * SPARE:
            lost = Lost(
                OUT_OF_MEMORY,
                f"task {task.index} ran out of memory: it used {end.peak:,.0f} MB, the worker has {self._memory:,} MB",
                "Deploy the stack with more (`dolambda deploy --memory`, at most 10,240), or cut the task into smaller ones.",
            )
        else:
            lost = Lost(
                CRASHED,
                f"task {task.index} ended its worker process: {end.how} (it had used up to {end.peak:,.0f} MB)",
                end.why
                or "Does it call os._exit, or crash in compiled code? What it printed last is shown above, if anything.",
            )
        return PackedOutcome.from_lost(task.index, lost, end.output)


def all_lost(tasks: Sequence[PackedTask], lost: Lost) -> list[PackedOutcome]:
    """Return an outcome for each task: that one."""
    return [PackedOutcome.from_lost(task.index, lost) for task in tasks]


def _scribbled(task: PackedTask, error: FrameError, end: End) -> PackedOutcome:
    lost = Lost(
        CRASHED,
        f"task {task.index} wrote to the pipe of its worker process, where {error} was found",
        "Does it write to file descriptors that it did not open?",
    )
    return PackedOutcome.from_lost(task.index, lost, end.output)
