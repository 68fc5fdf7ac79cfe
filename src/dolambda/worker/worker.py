"""Watch over the child that runs a job, and give one outcome for every task whatever becomes of it.

On entry: a job's bytes, from whichever transport. On leaving: the reply's bytes. What never happens is silence: a job that
must not run is refused, a task that ends its process is named as the culprit and its neighbours go on in a new one, a task at
its time limit or out of memory is stopped; what is left when time runs out is handed back to be sent again, before Lambda's own
axe falls.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from dolambda.wire.envelope import key_of
from dolambda.wire.outcome import (
    CANCELLED,
    CRASHED,
    NOT_STARTED,
    OTHER_PYTHON,
    OUT_OF_MEMORY,
    REFUSED,
    TIMED_OUT,
    Lost,
    PackedOutcome,
    Reply,
    Usage,
)
from dolambda.wire.task import PYTHON, Job
from dolambda.worker.child import Child, End, now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dolambda.errors import EnvelopeError
    from dolambda.wire.blob import BlobSource

MARGIN = 1.0
"""Seconds kept back from the function's time limit, to send the reply in."""

WATCH = 2.0
"""Seconds between two looks whether anyone still waits for the job."""

LOOK = 0.02
"""Seconds between two looks at the memory that a task uses: what is touched meanwhile, at 1 GB a second, is within `SPARE`."""

SPARE = 24.0
"""MB of the worker's memory that are not the task's: at the last of it Lambda ends the whole environment, without a reply."""

_CANCELLED = Lost(CANCELLED, "nobody waits for it any more: it was stopped")
_NOT_STARTED = Lost(NOT_STARTED, "the time of its job was over before it was done")


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
        self.next = now() + WATCH
        return self._wanted()


class Worker:
    """One execution environment. It runs one job at a time, as Lambda guarantees."""

    def __init__(
        self,
        source: Callable[[], BlobSource],
        key: bytes,
        *,
        also: Sequence[bytes] = (),
        room: int = 256 << 20,
        memory: int | None = None,
    ) -> None:
        """``source`` makes the place to fetch blobs from; ``room`` bytes of them are kept while warm; ``memory`` MB are there.

        Jobs are signed with ``key``, or with one of ``also`` while keys are being replaced; a reply with the key of its job.
        """
        self._memory = memory
        self._source = source
        self._keys = (key, *also)
        self._room = room
        self._child: Child | None = None
        self._code: str | None = None
        self._threads: int | None = None
        self._fetched: Counter[str] = Counter()
        self._name = ""

    def run(
        self,
        sealed: bytes,
        *,
        seconds: float,
        wanted: Callable[[], bool] = lambda: True,
        calls: Mapping[str, int] | None = None,
    ) -> bytes:
        """Run a sealed job within ``seconds``; give the sealed reply.

        ``wanted`` is asked every `WATCH` seconds: once it is false, the tasks not begun are left out. ``calls``, read at the
        end, counts the AWS requests made meanwhile. Raises `EnvelopeError` for bytes that are no job of this stack's.
        """
        cold = not self._name
        self._name = self._name or secrets.token_hex(6)  # not at import: SnapStart would clone it
        begun, started = now(), time.time()
        key = key_of(sealed, self._keys)
        job = Job.from_bytes(sealed, key)
        refusal = _refusal(job)
        lost = (
            [PackedOutcome.from_lost(task.index, refusal) for task in job.tasks]
            if refusal
            else None
        )
        outcomes = lost or self._run_in_child(job, sealed, key, begun + seconds - MARGIN, wanted)
        usage = Usage(
            self._name, cold, started, now() - begun, dict(self._fetched + Counter(calls or {}))
        )
        self._fetched.clear()
        return Reply(job.run, job.number, job.attempt, tuple(outcomes), usage).to_bytes(key)

    def close(self) -> None:
        """End the child."""
        if self._child and self._child.alive:
            self._child.end(kill=True)
        self._child = None

    def _run_in_child(
        self, job: Job, sealed: bytes, key: bytes, limit: float, wanted: Callable[[], bool]
    ) -> list[PackedOutcome]:
        """Run all tasks, going on in a new child after each that ended the one before."""
        watch = Watch(wanted)
        done = self._run_until_culprit(job, sealed, key, limit, watch)
        while len(done) < len(job.tasks) and now() < limit:
            rest = replace(job, tasks=job.tasks[len(done) :])
            done += self._run_until_culprit(rest, rest.to_bytes(key), key, limit, watch)
        return done + [
            PackedOutcome.from_lost(task.index, _NOT_STARTED) for task in job.tasks[len(done) :]
        ]

    def _run_until_culprit(
        self, job: Job, sealed: bytes, key: bytes, limit: float, watch: Watch
    ) -> list[PackedOutcome]:
        """Run tasks until all are done, one ends the child or is stopped, which is the last outcome then, or time is over."""
        child = self._sent(job, sealed, key)
        done: list[PackedOutcome] = []
        begun = now()
        stopping, used = False, child.used
        while len(done) < len(job.tasks):
            until = min(limit, begun + job.task_timeout) if job.task_timeout else limit
            news = child.wait(min(until, watch.next, now() + LOOK) - now())
            task = job.tasks[len(done)]
            if news:
                done += news
                begun = now()
                if self._hoards(
                    child
                ):  # what it did is done; the next task shall not suffer for what it left
                    self._end(child, kill=True)
                    break
                used = True
            elif news is None or self._hoards(child):
                end = self._end(child, kill=news is not None)
                if (
                    news is not None and used
                ):  # some of it may be what earlier tasks have left: let it have a child of its own
                    return done
                return [
                    *done,
                    PackedOutcome.from_lost(task.index, self._crashed(task.index, end), end.output),
                ]
            elif now() >= until:
                end = self._end(child, kill=True)
                if (
                    until == limit and done
                ):  # it had only what its neighbours left of the time: let it have a job's whole time
                    return done
                return [
                    *done,
                    PackedOutcome.from_lost(
                        task.index, _timed_out(task.index, now() - begun), end.output
                    ),
                ]
            if not watch.still_wanted():
                if stopping:  # it was given the time between two looks to come to its end
                    self._end(child, kill=True)
                    return done + [
                        PackedOutcome.from_lost(task.index, _CANCELLED)
                        for task in job.tasks[len(done) :]
                    ]
                child.stop_before_next()
                stopping = True
        self._fetched.update(child.take_calls())
        return done

    def _sent(self, job: Job, sealed: bytes, key: bytes) -> Child:
        """Give the job to a child; to a new one if the one kept has died since its last job, which no task of this one is to blame for."""
        child = self._ready_child(job)
        try:
            child.send(sealed, key)
        except BrokenPipeError:
            child.end(kill=False)
            child = self._ready_child(job)
            child.send(sealed, key)
        return child

    def _end(self, child: Child, *, kill: bool) -> End:
        self._fetched.update(child.take_calls())
        return child.end(kill=kill)

    def _hoards(self, child: Child) -> bool:
        return self._memory is not None and child.memory() > self._memory - SPARE

    def _crashed(self, index: int, end: End) -> Lost:
        """Why a child ended under a task: memory, when it was killed (by us or by the kernel) with next to none left."""
        if self._memory and end.by_kill and end.peak > self._memory - 2 * SPARE:
            return Lost(
                OUT_OF_MEMORY,
                f"task {index} ran out of memory: it used {end.peak:,.0f} MB, the worker has {self._memory:,} MB",
                "Deploy the stack with more (`dolambda deploy --memory`, at most 10,240), or cut the task into smaller ones.",
            )
        return Lost(
            CRASHED,
            f"task {index} ended its worker process: {end.how} (it had used up to {end.peak:,.0f} MB)",
            "Does it call os._exit, or crash in compiled code? What it printed last is shown above, if anything.",
        )

    def _ready_child(self, job: Job) -> Child:
        threads = job.surroundings.threads
        # Modules already imported from another bundle would hide the new ones, and threads are set at import.
        other = self._code not in (None, job.code) or self._threads != threads
        if (
            self._child and self._child.alive and (other or self._child.is_ending())
        ):  # while it ends, it could still take a job
            self.close()
        if not (self._child and self._child.alive):
            self._child = Child.from_fork(self._source, self._keys, self._room, threads)
        self._code, self._threads = job.code, threads
        return self._child


def refuse(run: str, number: int, error: EnvelopeError, key: bytes) -> bytes:
    """Seal the reply to a job that could not even be opened, known by its key alone."""
    lost = Lost(REFUSED, f"the worker refused job {number}: {error}")
    return Reply(run, number, 0, (PackedOutcome.from_lost(-1, lost),)).to_bytes(key)


def _refusal(job: Job) -> Lost | None:
    if job.python != PYTHON:
        return Lost(
            OTHER_PYTHON,
            f"the job comes from Python {job.python}, the worker runs Python {PYTHON}",
            f"Deploy the stack for this Python (`dolambda deploy` from it), or run the client under {PYTHON}.",
        )
    if time.time() > job.deadline:
        return Lost(NOT_STARTED, "the event that delivered the job came after its deadline")
    return None


def _timed_out(index: int, seconds: float) -> Lost:
    return Lost(
        TIMED_OUT,
        f"task {index} was stopped after {seconds:.1f} s, at its time limit",
        "Cut it into smaller tasks, give it more time (task_timeout=) or deploy the stack with a longer timeout (at most 900 s).",
    )
