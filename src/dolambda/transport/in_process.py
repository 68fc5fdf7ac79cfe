"""Jobs run in this process: no AWS, no child.

It is for debugging, where a breakpoint in a task should stop.

Tasks run one job at a time in one thread. Their output goes where this process's output goes.

**Input:** sealed jobs. **Output:** sealed replies.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dolambda.aws.request_counter import RequestCounter
from dolambda.wire.job import Job
from dolambda.wire.outcome import Usage
from dolambda.wire.reply import Reply
from dolambda.worker.blob_cache import BlobCache
from dolambda.worker.outcome_writer import MemoryWriter
from dolambda.worker.run_job import PlainSurroundings, TaskRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from dolambda.transport.base import OnReply, SealedJob

_ROOM = 1 << 30


class DictBlobs:
    """Blobs in memory."""

    def __init__(self) -> None:
        """Start without blobs."""
        self.held: dict[str, bytes | memoryview] = {}

    def get_blob(self, digest: str) -> bytes:
        """See `BlobSource`."""
        return bytes(self.held[digest])

    def calls(self) -> dict[str, int]:
        """See `BlobSource`: no requests are made."""
        return {}


class InProcess:
    """Both ends at once. Jobs are sealed with ``key``."""

    queues = True

    def __init__(self, key: bytes) -> None:
        """Prepare the transport. Nothing runs yet."""
        self.calls = RequestCounter()
        self._key = key
        self._blobs = DictBlobs()
        self._cache = BlobCache(self._blobs, _ROOM)
        self._withdrawn: set[tuple[str, int]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dolambda-in-process")
        self._ident: int | None = None  # of the thread that runs tasks

    @property
    def runs_caller(self) -> bool:
        """True in a task. It cannot wait for another one, which would run after it."""
        return threading.get_ident() == self._ident

    def send(self, job: SealedJob, on_reply: OnReply) -> None:
        """See `Transport.send`."""
        self._blobs.held.update((blob.digest, blob.data) for blob in job.blobs)
        self._thread.submit(self._run, job.data).add_done_callback(partial(_answer, on_reply))

    def room(self, most: int) -> int:
        """See `Transport.room`: jobs wait in the queue."""
        return most

    def withdraw(self, run: str, numbers: Sequence[int]) -> None:
        """See `Transport.withdraw`."""
        self._withdrawn.update((run, number) for number in numbers)

    def in_turn(self, call: Callable[[], None]) -> None:
        """See `Transport.in_turn`: at once."""
        call()

    def after_replies(self, call: Callable[[], None]) -> None:
        """See `Transport.after_replies`: at once."""
        call()

    def close(self) -> None:
        """See `Transport.close`."""
        self._thread.shutdown(cancel_futures=True)

    def _run(self, sealed: bytes) -> bytes:
        begun, started = time.monotonic(), time.time()
        self._ident = threading.get_ident()
        job = Job.from_bytes(sealed, self._key)
        withdrawn = self._withdrawn
        around = PlainSurroundings(lambda: (job.run, job.number) in withdrawn)
        writer = MemoryWriter()
        with _variables(job.context.env):
            TaskRunner(self._cache, around).run(job, writer)
        usage = Usage("in-process", cold=False, started=started, seconds=time.monotonic() - begun)
        identities = tuple(one for part in job.parts for one in part.identities)
        outcomes = replace(writer.table(job.indexes()), identities=identities)
        return Reply(job.run, job.number, job.attempt, outcomes, usage).to_bytes(self._key)


@contextmanager
def _variables(env: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this whole process during a job."""
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _answer(on_reply: OnReply, done: Future[bytes]) -> None:
    error = CancelledError() if done.cancelled() else done.exception()
    on_reply(error or done.result())
