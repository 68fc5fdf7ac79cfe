"""Both ends of live output: the worker's, which asks before it writes, and the client's, which
believes nothing unsigned.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from dolambda.errors import AwsError
from dolambda.transport.lease.worker import LeaseQuestion
from dolambda.transport.live.client import OutputParts
from dolambda.transport.live.worker import PartWriter
from dolambda.wire import keys
from dolambda.wire.lease import Lease
from dolambda.wire.output_part import MAX_OBJECT, OutputPart
from support.fake_bucket import MemoryBucket

KEY = b"k" * 32
RUN = "client0000/000000"
PART = OutputPart(RUN, 4, 1, "abc123", 0, 0, 40, 0, b"line\n")


class Bucket(MemoryBucket):
    """One that also reads."""

    def get(self, key: str) -> bytes:
        self.trouble(f"get {key}")
        if key not in self.objects:
            raise FileNotFoundError(key)
        return self.objects[key]

    def put_part(self, part: OutputPart, key: bytes = KEY, place: str = "") -> None:
        self.objects[place or part.key] = part.to_bytes(key)


def taken(bucket: Any, run: str = RUN) -> list[OutputPart]:
    return OutputParts(bucket, run, KEY).take()


def test_parts_come_in_order_and_once() -> None:
    bucket = Bucket()
    sent = [replace(PART, number=number) for number in (10, 2, 0)]
    for part in sent:
        bucket.put_part(part)
    bucket.objects[keys.reply_key(RUN, 4)] = b"a reply"
    assert [part.number for part in taken(bucket)] == [0, 2, 10]
    assert list(bucket.objects) == [keys.reply_key(RUN, 4)]
    assert taken(bucket) == []


def test_what_is_not_signed_or_not_of_this_place_is_refused_and_removed() -> None:
    bucket = Bucket()
    bucket.put_part(PART, key=b"x" * 32)
    bucket.put_part(replace(PART, run="client0000/000001"), place=replace(PART, number=1).key)
    bucket.put_part(replace(PART, number=3), place=replace(PART, number=2).key)
    bucket.objects[replace(PART, number=3).key] = b"x" * 100
    bucket.objects[replace(PART, number=4).key] = b"x" * (MAX_OBJECT + 1)
    bucket.objects[keys.parts_prefix(RUN) + "strange"] = b"x"
    bucket.put_part(replace(PART, number=5))
    assert [part.number for part in taken(bucket)] == [5]
    assert list(bucket.objects) == [keys.parts_prefix(RUN) + "strange"]  # it may be anybody's


def test_what_cannot_be_read_now_is_left_with_what_follows_it() -> None:
    denied = replace(PART, number=1).key

    def trouble(request: str) -> None:
        if request == f"get {denied}":
            raise AwsError("no network", hint="")

    bucket = Bucket(trouble)
    other = replace(PART, job=5)
    for part in (PART, replace(PART, number=1), replace(PART, number=2), other):
        bucket.put_part(part)
    assert taken(bucket) == [PART, other]
    assert len(bucket.objects) == 2
    bucket.trouble = lambda _: None
    assert [part.number for part in taken(bucket)] == [1, 2]


class WorkersS3:
    """A worker's S3: one lease, and parts."""

    def __init__(self, lease: bytes | None = None) -> None:
        self.lease = lease
        self.held: dict[str, bytes] = {}

    def get_at_once(self, key: str) -> bytes | None:
        assert key == keys.lease_key(RUN)
        return self.lease

    def put_at_once(self, key: str, data: bytes) -> bool:
        self.held[key] = data
        return True


@pytest.mark.parametrize("withdrawn", [(), (4,)])
def test_a_part_is_written_while_its_job_is_wanted(withdrawn: tuple[int, ...]) -> None:
    s3: Any = WorkersS3(Lease.from_numbers(RUN, withdrawn).to_bytes(KEY))
    calls: Counter[str] = Counter()
    writer = PartWriter(lambda: s3, LeaseQuestion(lambda: s3, (KEY,), RUN, 4, calls), calls)
    assert writer.put(PART.key, b"sealed") is not bool(withdrawn)
    assert s3.held == ({} if withdrawn else {PART.key: b"sealed"})
    assert calls == {"s3:GetObject": 1} | ({} if withdrawn else {"s3:PutObject": 1})
