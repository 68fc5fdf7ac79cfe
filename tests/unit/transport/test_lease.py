"""Leases: only a signed "cancelled" stops a task; what is not known continues.

Both transports ask.
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.errors import AwsError
from dolambda.transport.base import SealedJob
from dolambda.transport.direct import worker as direct
from dolambda.transport.direct.client import Direct
from dolambda.transport.lease.client import Leases
from dolambda.transport.lease.worker import CANCELLED, UNKNOWN, WANTED, LeaseQuestion
from dolambda.transport.queue import worker as queue
from dolambda.transport.queue.client import S3Queue
from dolambda.transport.uploads import Uploads
from dolambda.wire import keys
from dolambda.wire.lease import Lease
from dolambda.wire.reply import Reply
from dolambda.worker.waits import Waits
from dolambda.worker.worker import Worker
from support.fake_bucket import Inline, MemoryBucket, Small
from support.worker_jobs import job

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY, RUN, LEASE = b"k" * 32, "client0000/000000", "leases/client0000/000000"


class WorkersS3:
    """The worker's S3. A lease that is an error is one that cannot be read."""

    def __init__(self, **leases: bytes | None) -> None:
        self.held: dict[str, bytes] = {}
        self.lease = leases.get("lease")
        self.asked = 0

    def get(self, key: str) -> bytes | None:
        return self.held.get(key)

    def get_at_once(self, key: str) -> bytes | None:
        assert key == LEASE
        self.asked += 1
        return self.lease

    def put_new(self, key: str, data: bytes) -> bool:
        self.held[key] = data
        return True


def lease(*numbers: int, run: str = RUN, key: bytes = KEY) -> bytes:
    return Lease.from_numbers(run, numbers).to_bytes(key)


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (lease(3, 4, 5), CANCELLED),
        (lease(3, 5), WANTED),
        (lease(), WANTED),
        (None, UNKNOWN),
        (b"", UNKNOWN),
        (lease(4, key=b"x" * 32), UNKNOWN),
        (lease(4, run="client0000/000001"), UNKNOWN),
        (b"dlb1" + lease(4)[4:], UNKNOWN),
        (lease(4)[:-1], UNKNOWN),
    ],
)
def test_a_lease_has_three_answers(found: bytes | None, answer: str) -> None:
    s3: Any = WorkersS3(lease=found)
    calls: Counter[str] = Counter()
    question = LeaseQuestion(lambda: s3, (KEY,), RUN, 4, calls)
    assert question.answer() == answer
    assert question.is_wanted() is (answer != CANCELLED)
    assert calls == {"s3:GetObject": 2}


def test_a_lease_signed_with_the_former_key_counts_while_keys_are_replaced() -> None:
    s3: Any = WorkersS3(lease=lease(4, key=b"o" * 32))
    assert LeaseQuestion(lambda: s3, (KEY, b"o" * 32), RUN, 4, Counter()).answer() == CANCELLED


def opened(waits: Waits) -> Iterator[Worker]:
    s3: Any = WorkersS3()
    made = Worker(lambda: s3, KEY, waits=waits)
    yield made
    made.close()


@pytest.fixture
def asks_soon() -> Iterator[Worker]:
    yield from opened(Waits(first_question=0.2, grace=0.2))


def sealed(seconds: float) -> bytes:
    sent = job((time.sleep, (seconds,)), run=RUN, number=4, deadline=time.time() + 600)
    return sent.to_bytes(KEY)


def by_queue(worker: Worker, s3: WorkersS3, seconds: float) -> bytes | None:
    name = keys.job_key(RUN, 4)
    s3.held[name] = sealed(seconds)
    queue.answer({"Records": [{"s3": {"object": {"key": name}}}]}, worker, s3, KEY, 60.0)  # type: ignore[arg-type]
    return s3.held.get(keys.reply_key(RUN, 4))


def by_direct(worker: Worker, s3: Any, seconds: float) -> bytes:
    text = base64.b64encode(sealed(seconds)).decode()
    event = {"dolambda": {"run": RUN, "number": 4, "job": text}}
    return base64.b64decode(
        direct.answer(event, worker, lambda: s3, lambda: s3, KEY, 60.0)["reply"]
    )


def test_a_withdrawn_job_is_stopped_and_the_queue_gets_no_reply(asks_soon: Worker) -> None:
    begun = time.monotonic()
    assert by_queue(asks_soon, WorkersS3(lease=lease(4)), 50) is None
    assert time.monotonic() - begun < 40


def test_a_withdrawn_direct_job_is_stopped(asks_soon: Worker) -> None:
    reply = Reply.from_bytes(by_direct(asks_soon, WorkersS3(lease=lease(4)), 50), KEY)
    assert [one.kind for one in reply.outcomes] == ["lost"]
    assert reply.usage.calls["s3:GetObject"] >= 1


@pytest.mark.parametrize("way", [by_queue, by_direct])
def test_a_long_task_whose_lease_cannot_be_read_runs_to_its_end(
    asks_soon: Worker, way: Any
) -> None:
    s3 = WorkersS3(lease=None)
    reply = Reply.from_bytes(way(asks_soon, s3, 0.7), KEY)
    assert [one.kind for one in reply.outcomes] == ["value"]
    assert s3.asked >= 1


@pytest.mark.parametrize("way", [by_queue, by_direct])
def test_a_short_task_asks_nothing(way: Any) -> None:
    s3 = WorkersS3(lease=lease(4))
    for worker in opened(Waits(first_question=60.0)):  # however busy this machine is
        reply = Reply.from_bytes(way(worker, s3, 0), KEY)
    assert [one.kind for one in reply.outcomes] == ["value"]
    assert s3.asked == 0


def queue_of(bucket: Any) -> S3Queue:
    return S3Queue(
        bucket,
        Small(bucket),  # type: ignore[arg-type]
        Uploads(bucket),
        Leases(bucket, KEY),
        "client0000",
        Inline(),  # type: ignore[arg-type]
        throttle=0.05,
    )


class Silent:
    """Invokes, and is not answered."""

    refused = 0
    throttled: Any = None

    def send(self, _payload: bytes, _done: object) -> None:
        """It is in flight from here on."""


def direct_of(bucket: Any) -> Direct:
    return Direct(
        Silent(),  # type: ignore[arg-type]
        bucket,
        Uploads(bucket),
        Leases(bucket, KEY),
        "client0000",
        Inline(),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("made", [queue_of, direct_of])
def test_a_client_withdraws_what_is_in_flight_before_it_removes_it(made: Any) -> None:
    bucket = MemoryBucket()
    way = made(bucket)
    for number in range(5):
        way.send(SealedJob(RUN, number, b"a job"), lambda _: None)
    done: list[str] = []
    bucket.trouble = done.append
    way.withdraw(RUN, [1, 2])
    way.withdraw(RUN, [4, 9])
    found = Lease.from_bytes(bucket.objects[LEASE], KEY, RUN)
    assert found.withdrawn == ((1, 2), (4, 4))  # 9 was never sent
    assert "delete" not in done or done.index("put") < done.index("delete")
    bucket.trouble = lambda _: None
    way.close()


def test_nothing_is_written_for_jobs_that_were_answered() -> None:
    bucket = MemoryBucket()
    answered: list[Any] = []
    way = queue_of(bucket)
    bucket.objects[keys.reply_key(RUN, 0)] = b"a reply"
    way.send(SealedJob(RUN, 0, b"a job"), answered.append)
    until = time.monotonic() + 20
    while not answered and time.monotonic() < until:
        time.sleep(0.01)
    way.withdraw(RUN, [0])
    way.close()
    assert answered == [b"a reply"]
    assert LEASE not in bucket.objects


def test_the_second_worker_of_a_job_that_was_sent_twice_is_stopped() -> None:
    bucket = MemoryBucket()
    answered: list[Any] = []
    way = queue_of(bucket)
    for _ in range(2):
        way.send(SealedJob(RUN, 0, b"a job"), answered.append)
    bucket.objects[keys.reply_key(RUN, 0)] = b"a reply"
    until = time.monotonic() + 20
    while not answered and time.monotonic() < until:
        time.sleep(0.01)
    way.withdraw(RUN, [0])
    way.close()
    assert Lease.from_bytes(bucket.objects[LEASE], KEY, RUN).withdrawn == ((0, 0),)


def test_a_lease_that_cannot_be_written_keeps_nothing_from_being_removed() -> None:
    bucket = MemoryBucket()
    way = queue_of(bucket)
    way.send(SealedJob(RUN, 0, b"a job"), lambda _: None)

    def fail(action: str) -> None:
        if action == "put":
            raise AwsError("no network")

    bucket.trouble = fail
    way.withdraw(RUN, [0])
    assert bucket.objects == {}
    bucket.trouble = lambda _: None
    way.close()
