"""The queue's client end: what goes wrong on the way costs a look or a fetch, never a task, and
nothing waits for ever.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.errors import AccessDeniedError, AwsError
from dolambda.transport.base import SealedJob, Unanswered
from dolambda.transport.clean_up import CleanUp, left
from dolambda.transport.lease.client import Leases
from dolambda.transport.queue.client import S3Queue
from dolambda.transport.uploads import Uploads
from dolambda.wire import keys
from support.fake_bucket import Inline, MemoryBucket, Small
from support.futures import asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = "client/0"
SIGNING_KEY = b"k" * 32
KEY = keys.reply_key(RUN, 0)


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


def opened(bucket: MemoryBucket, clean_up: CleanUp) -> Any:
    return S3Queue(
        bucket,  # type: ignore[arg-type]
        Small(bucket),  # type: ignore[arg-type]
        Uploads(bucket),  # type: ignore[arg-type]
        Leases(bucket, SIGNING_KEY),  # type: ignore[arg-type]
        "client",
        Inline(),  # type: ignore[arg-type]
        throttle=0.05,
        clean_up=clean_up,
    )


@pytest.fixture
def queue(bucket: MemoryBucket) -> Iterator[S3Queue]:
    made = opened(bucket, CleanUp(0.5))
    yield made
    bucket.trouble = lambda _: None
    made.close()


def job(number: int = 0) -> SealedJob:
    return SealedJob(RUN, number, b"a job")


def failing(action: str, times: float, error: BaseException) -> Callable[[str], None]:
    """Trouble that so many requests of a kind have."""
    left = [times]

    def trouble(asked_for: str) -> None:
        if asked_for == action and left[0] > 0:
            left[0] -= 1
            raise error

    return trouble


@pytest.mark.parametrize("error", [AccessDeniedError("denied"), AwsError("broken")])
def test_a_look_that_is_refused_once_fails_nobody(
    queue: S3Queue, bucket: MemoryBucket, error: AwsError
) -> None:
    bucket.trouble = failing("list", 3, error)
    bucket.objects[KEY] = b"a reply"
    assert asked(queue, job()).result(20) == b"a reply"


def test_looks_that_are_denied_for_long_are_told(
    queue: S3Queue, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.transport.queue.client._LOOKS_DENIED", 0.2)
    bucket.trouble = failing("list", 1e9, AccessDeniedError("denied"))
    with pytest.raises(AccessDeniedError, match="denied"):
        asked(queue, job()).result(20)


@pytest.mark.parametrize("reply", [b"a reply", b"a large reply" * 1000])
@pytest.mark.parametrize("times", [1, 2, 1e9])
def test_a_reply_that_is_cut_off_is_fetched_again(
    queue: S3Queue, bucket: MemoryBucket, reply: bytes, times: float
) -> None:
    left = [times]

    def cut(data: bytes) -> bytes:
        left[0] -= 1
        return data[:-3] if left[0] >= 0 else data

    bucket.changed = cut
    bucket.get = lambda key: cut(bucket.objects[key])  # type: ignore[attr-defined]
    bucket.objects[KEY] = reply
    future = asked(queue, job())
    if times < 1e9:
        assert future.result(20) == reply
    else:  # dispatch sends the job again
        with pytest.raises(Unanswered, match="bytes, 3 times"):
            future.result(20)


def test_a_reply_that_is_removed_before_it_is_fetched_is_lost_and_not_a_failure(
    queue: S3Queue, bucket: MemoryBucket
) -> None:
    def trouble(asked_for: str) -> None:
        if asked_for == "get":
            bucket.objects.clear()

    bucket.objects[KEY] = b"a reply"
    bucket.trouble = trouble
    with pytest.raises(Unanswered, match="was removed"):
        asked(queue, job()).result(20)


def test_when_looking_breaks_those_who_wait_hear_of_it_and_so_do_those_who_come(
    queue: S3Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a defect")

    future = asked(queue, job())
    monkeypatch.setattr(queue._pace, "looked", broken)
    with pytest.raises(AwsError, match="polling for replies failed: RuntimeError"):
        future.result(20)
    with pytest.raises(AwsError, match="polling for replies failed"):
        queue.send(job(1), lambda _: None)


@pytest.mark.parametrize("size", [5, 5000])
def test_where_no_thread_can_be_started_sending_raises_and_nothing_waits(
    queue: S3Queue, bucket: MemoryBucket, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    large = SealedJob(RUN, 0, b"x" * size)
    if size > bucket.most:  # the poller runs, and what puts large jobs cannot be started
        asked(queue, job(1))
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        queue.send(large, lambda _: None)
    monkeypatch.undo()
    begun = time.monotonic()
    queue.withdraw(RUN, [0])
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("stuck", ["list", "delete"])
def test_closing_does_not_wait_for_a_network_that_has_gone(
    queue: S3Queue, bucket: MemoryBucket, stuck: str, caplog: pytest.LogCaptureFixture
) -> None:
    released, begun = threading.Event(), threading.Event()

    def trouble(asked_for: str) -> None:
        if asked_for == stuck:
            begun.set()
            assert released.wait(100)

    asked(queue, job())
    bucket.trouble = trouble
    closed = time.monotonic()
    queue.close()
    assert begun.is_set()
    assert time.monotonic() - closed < 60
    assert "expire by themselves" in caplog.text
    released.set()


def test_closing_removes_answers_that_nobody_waits_for(
    queue: S3Queue, bucket: MemoryBucket
) -> None:
    asked(queue, job())
    bucket.objects[keys.reply_key(RUN, 9)] = b"late"
    queue.close()
    assert [key for key in bucket.objects if key.startswith("outs/")] == []


def test_a_queue_that_sent_nothing_starts_no_thread_to_close(
    queue: S3Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    queue.close()


def test_closing_asks_nothing_of_a_place_that_is_gone(
    bucket: MemoryBucket, caplog: pytest.LogCaptureFixture
) -> None:
    clean_up = CleanUp(60.0)
    made = opened(bucket, clean_up)
    bucket.objects[KEY] = b"a reply"
    assert asked(made, job()).result(20) == b"a reply"
    clean_up.abandon()
    clean_up.ended(done=True)  # a clean-up that had begun before
    assert left(clean_up.until()) == 0.0
    deleted: list[str] = []
    bucket.trouble = deleted.append
    made.close()
    made._poller.join(20)
    assert "delete" not in deleted
    assert caplog.records == []
