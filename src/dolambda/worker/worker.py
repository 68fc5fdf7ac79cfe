"""Supervision of the child that runs a job, with one outcome for every task in any case.

**Input:** a job's bytes, from any transport. **Output:** the reply's bytes.

There is always a reply. A job that must not run is refused. A task that ends its process is named
as the culprit, and the other tasks continue in a new process. A task at its time limit or out of
memory is stopped. Tasks that have not begun when time runs out are returned to be sent again,
before Lambda ends the invocation.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dolambda.errors import FormatError
from dolambda.wire.envelope import key_of, readable_by_format_1
from dolambda.wire.job import ANYWHERE, Job, Place
from dolambda.wire.outcome import (
    CRASHED,
    NOT_STARTED,
    OTHER_PYTHON,
    REFUSED,
    Lost,
    Usage,
)
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.reply import Reply
from dolambda.wire.task import PYTHON
from dolambda.worker.child import Child, ChildGoneError, End, now
from dolambda.worker.child_run import ChildRun, Watch, all_lost
from dolambda.worker.frames import FrameError
from dolambda.worker.output_sender import OutputSender
from dolambda.worker.overhead import Overhead
from dolambda.worker.questions import QuestionTimes
from dolambda.worker.waits import DEFAULT, Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dolambda.errors import DolambdaError
    from dolambda.wire.blob import BlobSource

MARGIN = 1.0
"""Seconds reserved before the function's time limit, to send the reply."""

_NOT_STARTED = Lost(NOT_STARTED, "the time of its job ended before it was done")


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
        place: Place | None = None,
        waits: Waits = DEFAULT,
        workers: int = 1,
    ) -> None:
        """Prepare a worker.

        Args:
            source: Returns the store from which blobs are fetched.
            key: The key that jobs are signed with.
            also: Other keys that are accepted while keys are being replaced. A reply is signed with
                the key of its job.
            room: Bytes of blobs that are kept while warm.
            memory: MB of memory that the worker has. None if unknown.
            place: Where the worker is. By default it accepts jobs for any place.
            waits: Durations that it waits. Tests shorten them.
            workers: Largest number of workers of its stack, which share what they ask S3.
        """
        self._memory = memory
        self._place = place or ANYWHERE
        self._source = source
        self.keys = (key, *also)
        self._room = room
        self._child: Child | None = None
        self._code: str | None = None
        self._kind: tuple[int | None, Mapping[str, str], str] = (None, {}, "python")
        self._fetched: Counter[str] = Counter()
        self._name = ""
        self.overhead = Overhead()
        self._waits = waits
        self.questions = QuestionTimes(waits.first_question, workers)

    def run(
        self,
        sealed: bytes,
        *,
        seconds: float,
        wanted: Callable[[], bool] = lambda: True,
        put_part: Callable[[str, bytes], bool] | None = None,
        calls: Mapping[str, int] | None = None,
        before: float = 0.0,
    ) -> bytes:
        """Run a sealed job.

        Args:
            sealed: The job's bytes.
            seconds: Time limit.
            wanted: Called at the times of `QuestionTimes`. Once it returns False, the tasks not
                begun are left out.
            put_part: Writes a part of what tasks print, by key. Returns whether it was written.
            calls: Counts of AWS requests, read at the end.
            before: Seconds that the invocation has already taken.

        Returns:
            The sealed reply.

        Raises:
            EnvelopeError: The bytes are not a job of this stack.
        """
        cold = not self._name
        self._name = self._name or secrets.token_hex(6)  # not at import: SnapStart would clone it
        begun, started = now(), time.time()
        key = key_of(sealed, self.keys)
        job = Job.from_bytes(sealed, key)
        refusal = _refusal(job, self._place)
        outcomes = OutcomeTable()
        try:
            if refusal is None:
                limit = begun + seconds - MARGIN
                output = self._output_sender(job, key, put_part)
                outcomes = self._run_in_child(job, limit, wanted, output)
        except BaseException:  # its child may still run the job, and must not reply to the next one
            self.close()
            raise
        took = now() - begun + self.overhead.of_reply(before)
        usage = Usage(self._name, cold, started, took, dict(self._fetched + Counter(calls or {})))
        self._fetched.clear()
        return Reply(job.run, job.number, job.attempt, outcomes, usage, refusal).to_bytes(key)

    def close(self) -> None:
        """End the child."""
        if self._child and self._child.alive:
            self._child.end(kill=True)
        self._child = None

    def _output_sender(
        self, job: Job, key: bytes, put: Callable[[str, bytes], bool] | None
    ) -> OutputSender | None:
        if job.part_interval is None or put is None:
            return None
        return OutputSender(
            job, job.part_interval, self._name, key, put, first=self._waits.first_part
        )

    def _run_in_child(
        self,
        job: Job,
        limit: float,
        wanted: Callable[[], bool],
        output: OutputSender | None,
    ) -> OutcomeTable:
        """Run all tasks, continuing in a new child after each that ended the previous one."""
        watch = Watch(wanted, self.questions, job.run, self._waits.grace)
        run = partial(self._run_in_one_child, limit=limit, watch=watch, output=output)
        tables = [run(job, rest=False)]
        done = len(tables[0])
        while done < len(job) and now() < limit:
            tables.append(run(job.rest(done), rest=True))
            done += len(tables[-1])
        tables.append(all_lost(job.indexes()[done:], _NOT_STARTED))
        identities = tuple(one for part in job.parts for one in part.identities)
        return replace(OutcomeTable.joined(tables), identities=identities)

    def _run_in_one_child(
        self,
        job: Job,
        *,
        limit: float,
        watch: Watch,
        output: OutputSender | None,
        rest: bool,
    ) -> OutcomeTable:
        child = self._begun(job, limit, rest=rest)
        if not isinstance(child, Child):
            return all_lost(job.indexes()[:1], child)
        try:
            return ChildRun(child, job, limit, watch, self._memory, output).run()
        finally:
            self._fetched.update(child.take_calls())

    def _begun(self, job: Job, limit: float, *, rest: bool) -> Child | Lost:
        """Return a child that has begun the job, or `Lost` if a new child cannot begin it either.

        A child that earlier jobs have left unfit is replaced. It has not run a task of this job, so
        none of them is to blame.
        """
        while True:
            child = self._ready_child(job)
            used = child.used
            until = min(limit, now() + self._waits.begin) if used else limit
            with contextlib.suppress(ChildGoneError, FrameError):
                if child.begin(job, until, rest=rest):
                    return child
            end = child.end(kill=now() >= until)
            if not used:
                return _not_begun(end, in_time=now() < limit)

    def _ready_child(self, job: Job) -> Child:
        threads, env = job.context.threads, job.context.env
        kind = threads, env, job.context.language
        # Modules imported from another archive would hide the new ones. Variables are read at
        # import.
        other = self._code not in (None, job.code) or self._kind != kind
        if self._child and self._child.alive and (other or self._child.is_ending()):
            # While it ends, it could still accept a job.
            self.close()
        if not (self._child and self._child.alive):
            self._child = Child.from_fork(self._source, self._room, threads, env)
        self._code, self._kind = job.code, kind
        return self._child


def refuse(run: str, number: int, error: DolambdaError, key: bytes) -> bytes:
    """Return the sealed refusal of a job that could not be opened and is known only by its key."""
    lost = Lost(REFUSED, f"the worker refused job {number}: {error}")
    sealed = Reply(run, number, 0, OutcomeTable(), refusal=lost).to_bytes(key)
    return readable_by_format_1(sealed) if isinstance(error, FormatError) else sealed


def _refusal(job: Job, here: Place = ANYWHERE) -> Lost | None:
    if not here.takes(job.place):
        return Lost(
            REFUSED,
            f"the job is for {job.place}, but this worker is {here}",
            "Either it was copied from another bucket, or the trigger of another stack watches "
            "this bucket. "
            "Give each stack its own bucket.",
        )
    if job.python != PYTHON:
        return Lost(
            OTHER_PYTHON,
            f"the job comes from Python {job.python}, the worker runs Python {PYTHON}",
            "Deploy the stack for this Python (`dolambda deploy` from it), or run the client "
            f"under {PYTHON}.",
        )
    if time.time() > job.deadline:
        return Lost(NOT_STARTED, "the event that delivered the job came after its deadline")
    return None


def _not_begun(end: End, *, in_time: bool) -> Lost:
    """Return why a new child has not begun its job."""
    if not in_time:
        return _NOT_STARTED
    return Lost(
        CRASHED,
        f"the worker could not start a process for the task: {end.how}",
        f"What it printed: {end.output}"
        if end.output
        else ("Check that the worker has enough memory."),
    )
