"""What runs in the simulated environments.

On entry: an event; on leaving: seconds that it took there, what it answers, objects it puts.

dolambda's own worker end runs here, `answer` of each transport; only the process around a task is
left out.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dolambda.transport.direct import worker as direct
from dolambda.transport.queue import worker as queue
from dolambda.wire import keys
from dolambda.wire.job import Job
from dolambda.wire.outcome import PackedOutcome, Usage
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.reply import Reply
from dolambda.worker import run_job as running
from dolambda.worker.blob_cache import BlobCache
from dolambda.worker.outcome_writer import MemoryWriter
from dolambda.worker.overhead import Overhead
from dolambda.worker.questions import QuestionTimes
from dolambda.worker.worker import _refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from support.simulated_aws.fleet import Environment
    from support.simulated_aws.store import Store

_ROOM = 1 << 30


class EnvironmentDies(BaseException):
    """What a task raises to end its whole environment, without a reply."""


class Clock:
    """Time that passes when tasks sleep, in a moment."""

    def __init__(self) -> None:
        self.slept = 0.0

    def install(self) -> None:
        """Let `time.sleep` take no time in this process, and tasks be measured as if it had."""
        time.sleep = self.sleep  # type: ignore[assignment] # as tasks call it
        running._clock = self.now

    def now(self) -> float:
        """As `time.perf_counter`, with what was slept."""
        return time.perf_counter() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@dataclass
class Ran:
    """What became of an invocation; ``dead``: its environment ended under it."""

    seconds: float
    answer: bytes
    puts: list[tuple[str, bytes]] = field(default_factory=list)
    dead: bool = False


class Bucket:
    """The worker's S3, without requests; what is put is there once the invocation ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.puts: list[tuple[str, bytes]] = []
        self.requests: Counter[str] = Counter()

    def get(self, key: str) -> bytes | None:
        self.requests["s3:GetObject"] += 1
        return self._store.objects.get(key)

    def get_at_once(self, key: str) -> bytes | None:
        return self.get(key)

    def put_new(self, key: str, data: bytes) -> bool:
        self.requests["s3:PutObject"] += 1
        self.puts.append((key, data))
        return key not in self._store.objects

    def get_blob(self, digest: str) -> bytes:
        self.requests["s3:GetObject"] += 1
        return self._store.objects[keys.blob_key(digest)]

    def calls(self) -> dict[str, int]:
        return {}


class Tasks(running.TaskRunner):
    """Tasks of which one may end the environment."""

    def _failure(self, index: int, error: BaseException) -> PackedOutcome:
        if type(error).__qualname__ == EnvironmentDies.__qualname__:
            raise EnvironmentDies
        return super()._failure(index, error)


class Runner:
    """As `dolambda.worker.worker.Worker`, in this process."""

    def __init__(
        self, cache: BlobCache, key: bytes, environment: Environment, clock: Callable[[], float]
    ) -> None:
        self._cache = cache
        self._key = key
        self._environment = environment
        self._clock = clock
        self.keys = (key,)
        self.overhead = Overhead()
        self.questions = QuestionTimes()

    def run(
        self,
        sealed: bytes,
        *,
        seconds: float,
        wanted: Callable[[], bool] = bool,
        put_part: Callable[[str, bytes], bool] | None = None,
        calls: Mapping[str, int] | None = None,
        before: float = 0.0,
    ) -> bytes:
        del seconds, wanted, put_part, before  # its requests take no time, its tasks print nothing
        begun, started = self._clock(), time.time()
        job = Job.from_bytes(sealed, self._key)
        refusal, outcomes = _refusal(job), OutcomeTable()
        if refusal is None:
            writer = MemoryWriter()
            Tasks(self._cache, running.PlainSurroundings()).run(job, writer)
            identities = tuple(one for part in job.parts for one in part.identities)
            outcomes = replace(writer.table(job.indexes()), identities=identities)
        usage = Usage(
            self._environment.name,
            self._environment.cold,
            started,
            self._clock() - begun,
            dict(calls or {}),
        )
        reply = Reply(job.run, job.number, job.attempt, outcomes, usage, refusal)
        return reply.to_bytes(self._key)


class Dolambda:
    """dolambda's function."""

    def __init__(self, store: Store, key: bytes, clock: Clock, latency: float) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._latency = latency
        self._cache = BlobCache(Bucket(store), _ROOM)

    def __call__(self, event: Mapping[str, Any], environment: Environment) -> Ran:
        bucket: Any = Bucket(self._store)
        runner: Any = Runner(self._cache, self._key, environment, self._clock.now)
        slept = self._clock.slept
        answer: object = ["no event of dolambda's"]
        dead = True
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(EnvironmentDies):
            if direct.recognises(event):
                answer = direct.answer(
                    event, runner, lambda: bucket, lambda: bucket, self._key, 900.0
                )
            elif queue.recognises(event):
                answer = queue.answer(event, runner, bucket, self._key, 900.0)
            dead = False
        seconds = self._clock.slept - slept + self._latency * sum(bucket.requests.values())
        return Ran(seconds, json.dumps(answer).encode(), bucket.puts, dead)
