"""Watch over the child that runs a job, and give one outcome for every task whatever becomes of it.

On entry: a job's bytes, from whichever transport. On leaving: the reply's bytes. What never happens is silence: a job that
must not run is refused, a task that ends its process is named as the culprit and its neighbours handed back to be sent
again, a task at its time limit is stopped, and all of that before Lambda's own axe falls.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING

from dolambda.wire.outcome import CRASHED, NOT_STARTED, REFUSED, TIMED_OUT, Lost, PackedOutcome, Reply, Usage
from dolambda.wire.task import PYTHON, Job
from dolambda.worker.child import Child, now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dolambda.errors import EnvelopeError
    from dolambda.wire.blob import BlobSource

MARGIN = 1.0
"""Seconds kept back from the function's time limit, to send the reply in."""

WATCH = 2.0
"""Seconds between two looks whether anyone still waits for the job."""

_NOT_STARTED = Lost(NOT_STARTED, "an earlier task of its job ended the worker before it began")


class Worker:
    """One execution environment. It runs one job at a time, as Lambda guarantees."""

    def __init__(self, source: Callable[[], BlobSource], key: bytes, *, room: int = 256 << 20) -> None:
        """``source`` makes the place to fetch blobs from; ``room`` bytes of them are kept while warm."""
        self._source = source
        self._key = key
        self._room = room
        self._child: Child | None = None
        self._code: str | None = None
        self._name = ""

    def run(
        self, sealed: bytes, *, seconds: float, wanted: Callable[[], bool] = lambda: True, calls: Mapping[str, int] | None = None
    ) -> bytes:
        """Run a sealed job within ``seconds``; give the sealed reply.

        ``wanted`` is asked every `WATCH` seconds: once it is false, the tasks not begun are left out. ``calls``, read at the
        end, counts the AWS requests made meanwhile. Raises `EnvelopeError` for bytes that are no job of this stack's.
        """
        cold = not self._name
        self._name = self._name or secrets.token_hex(6)  # not at import: SnapStart would clone it
        begun, started = now(), time.time()
        job = Job.from_bytes(sealed, self._key)
        refusal = _refusal(job)
        lost = [PackedOutcome.from_lost(task.index, refusal) for task in job.tasks] if refusal else None
        outcomes = lost or self._run_in_child(job, sealed, begun + seconds - MARGIN, wanted)
        fetched = self._child.calls if self._child else Counter[str]()
        usage = Usage(self._name, cold, started, now() - begun, dict(fetched + Counter(calls or {})))
        fetched.clear()
        return Reply(job.run, job.number, job.attempt, tuple(outcomes), usage).to_bytes(self._key)

    def close(self) -> None:
        """End the child."""
        if self._child and self._child.alive:
            self._child.end(kill=True)
        self._child = None

    def _run_in_child(self, job: Job, sealed: bytes, limit: float, wanted: Callable[[], bool]) -> list[PackedOutcome]:
        child = self._ready_child(job)
        child.send(sealed)
        done: list[PackedOutcome] = []
        begun = looked = now()
        while len(done) < len(job.tasks):
            until = min(limit, begun + job.task_timeout) if job.task_timeout else limit
            news = child.wait(min(until - now(), looked + WATCH - now()))
            if news is None:
                how, output = child.end(kill=False)
                return [*done, *_blame(job, len(done), _crashed(job, len(done), how), output)]
            if news:
                done += news
                begun = now()
            elif now() >= until:
                _, output = child.end(kill=True)
                return [*done, *_blame(job, len(done), _timed_out(job, len(done), now() - begun), output)]
            if now() >= looked + WATCH:
                looked = now()
                if not wanted():
                    child.stop_before_next()
        return done

    def _ready_child(self, job: Job) -> Child:
        if self._child and self._child.alive and self._code not in (None, job.code):
            self.close()  # modules already imported from another bundle would hide the new ones
        if not (self._child and self._child.alive):
            self._child = Child.from_fork(self._source, self._key, self._room)
        self._code = job.code
        return self._child


def refuse(run: str, number: int, error: EnvelopeError, key: bytes) -> bytes:
    """Seal the reply to a job that could not even be opened, known by its key alone."""
    lost = Lost(REFUSED, f"the worker refused job {number}: {error}")
    return Reply(run, number, 0, (PackedOutcome.from_lost(-1, lost),)).to_bytes(key)


def _refusal(job: Job) -> Lost | None:
    if job.python != PYTHON:
        return Lost(
            REFUSED,
            f"the job comes from Python {job.python}, the worker runs Python {PYTHON}",
            f"Deploy the stack for this Python (`dolambda deploy` from it), or run the client under {PYTHON}.",
        )
    if time.time() > job.deadline:
        return Lost(NOT_STARTED, "the event that delivered the job came after its deadline")
    return None


def _blame(job: Job, at: int, lost: Lost, output: str) -> list[PackedOutcome]:
    culprit = PackedOutcome.from_lost(job.tasks[at].index, lost, output)
    return [culprit, *(PackedOutcome.from_lost(task.index, _NOT_STARTED) for task in job.tasks[at + 1 :])]


def _crashed(job: Job, at: int, how: str) -> Lost:
    return Lost(
        CRASHED,
        f"task {job.tasks[at].index} ended its worker process: {how}",
        "Does it call os._exit, use too much memory or crash in compiled code? What it printed last is shown above, if anything.",
    )


def _timed_out(job: Job, at: int, seconds: float) -> Lost:
    return Lost(
        TIMED_OUT,
        f"task {job.tasks[at].index} was stopped after {seconds:.1f} s, at its time limit",
        "Cut it into smaller tasks, give it more time (task_timeout=) or deploy the stack with a longer timeout (at most 900 s).",
    )
