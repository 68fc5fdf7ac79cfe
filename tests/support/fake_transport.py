"""A transport in memory whose faults a test chooses: what is lost, late, doubled or forged."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dolambda.aws.calls import Calls
from dolambda.wire.outcome import Reply, Usage
from dolambda.wire.task import Job
from dolambda.worker.run_job import run_job
from dolambda.worker.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolambda.transport.base import Answered, SealedJob

KEY = b"k" * 32


class Memory:
    """A transport that runs jobs in threads of its own, and lets a test decide what becomes of each."""

    queues = True

    def __init__(
        self, fate: Callable[[Job, int], bytes | BaseException | None] | None = None
    ) -> None:
        self.calls = Calls()
        self.fate = fate or (lambda job, _sent: self.answer(job))
        self.sent: list[Job] = []
        self.withdrawn: list[int] = []
        self.held: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.flying = self.most_flying = 0

    def get_blob(self, digest: str) -> bytes:
        return self.held[digest]

    def answer(self, job: Job, **more: Any) -> bytes:
        class Source:
            def get_blob(_, digest: str) -> bytes:  # noqa: N805 - self is the transport's
                return self.held[digest]

            def calls(_) -> dict[str, int]:  # noqa: N805 - as above
                return {}

        outcomes = tuple(run_job(job, Shelf(Source(), 1 << 20), stopped=lambda: False, output=str))
        return replace(
            Reply(job.run, job.number, job.attempt, outcomes, Usage("w")), **more
        ).to_bytes(KEY)

    def send(self, sealed: SealedJob, answered: Answered) -> None:
        job = Job.from_bytes(sealed.data, KEY)
        with self.lock:
            self.held |= {blob.digest: bytes(blob.data) for blob in sealed.blobs}
            self.sent.append(job)
            self.flying += 1
            self.most_flying = max(self.flying, self.most_flying)
            count = sum(other.number == job.number for other in self.sent)
        threading.Thread(target=self._deliver, args=(job, answered, count)).start()

    def _deliver(self, job: Job, answered: Answered, count: int) -> None:
        result = self.fate(job, count)
        with self.lock:
            self.flying -= 1
        if result is not None:
            answered(result)

    def room(self, most: int) -> int:
        return most

    def withdraw(self, _run: str, numbers: Sequence[int]) -> None:
        self.withdrawn += numbers

    def close(self) -> None:
        pass


def square(i: int) -> int:
    return i * i
