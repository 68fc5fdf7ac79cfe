"""A transport in memory whose faults a test chooses: what is lost, late, doubled or forged."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dolambda.aws.request_counter import RequestCounter
from dolambda.wire.job import Job
from dolambda.wire.outcome import Usage
from dolambda.wire.reply import Reply
from dolambda.worker.blob_cache import BlobCache
from dolambda.worker.outcome_writer import MemoryWriter
from dolambda.worker.run_job import PlainSurroundings, TaskRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dolambda.transport.base import OnReply, SealedJob
    from dolambda.wire.outcome_table import OutcomeTable

KEY = b"k" * 32


class Blobs:
    """Blobs in memory."""

    def __init__(self, held: Mapping[str, bytes]) -> None:
        self._held = held

    def get_blob(self, digest: str) -> bytes:
        return self._held[digest]

    def calls(self) -> dict[str, int]:
        return {}


def outcomes_of(job: Job, held: Mapping[str, bytes]) -> OutcomeTable:
    """Run a job's tasks here."""
    writer = MemoryWriter()
    cache = BlobCache(Blobs(held), 1 << 20)
    TaskRunner(cache, PlainSurroundings()).run(job, writer)
    identities = tuple(one for part in job.parts for one in part.identities)
    return replace(writer.table(list(job.indexes())), identities=identities)


class Memory:
    """A transport that runs jobs in threads of its own, and lets a test decide what becomes of
    each.
    """

    queues = True

    def __init__(
        self, fate: Callable[[Job, int], bytes | BaseException | None] | None = None
    ) -> None:
        self.calls = RequestCounter()
        self.fate = fate or (lambda job, _sent: self.answer(job))
        self.sent: list[Job] = []
        self.withdrawn: list[int] = []
        self.held: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.flying = self.most_flying = 0

    def answer(self, job: Job, **more: Any) -> bytes:
        outcomes = outcomes_of(job, self.held)
        reply = Reply(job.run, job.number, job.attempt, outcomes, Usage("w"))
        return replace(reply, **more).to_bytes(KEY)

    def send(self, sealed: SealedJob, on_reply: OnReply) -> None:
        job = Job.from_bytes(sealed.data, KEY)
        with self.lock:
            self.held |= {blob.digest: bytes(blob.data) for blob in sealed.blobs}
            self.sent.append(job)
            self.flying += 1
            self.most_flying = max(self.flying, self.most_flying)
            count = sum(other.number == job.number for other in self.sent)
        threading.Thread(target=self._deliver, args=(job, on_reply, count)).start()

    def _deliver(self, job: Job, on_reply: OnReply, count: int) -> None:
        result = self.fate(job, count)
        with self.lock:
            self.flying -= 1
        if result is not None:
            on_reply(result)

    def room(self, most: int) -> int:
        return most

    def withdraw(self, _run: str, numbers: Sequence[int]) -> None:
        self.withdrawn += numbers

    def in_turn(self, call: Callable[[], None]) -> None:
        call()

    def after_replies(self, call: Callable[[], None]) -> None:
        call()

    def close(self) -> None:
        pass


def square(i: int) -> int:
    return i * i
