"""One suite over every transport: the same jobs, the same answers, the same manners."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dolambda.transport.base import SealedJob
from dolambda.transport.factory import TransportFactory
from dolambda.transport.in_process import InProcess
from dolambda.transport.queue.client import S3Queue
from dolambda.wire import keys
from dolambda.wire.outcome import Failure, Value
from dolambda.wire.reply import Reply
from dolambda.wire.task import INLINE
from support.futures import asked
from support.worker_jobs import chunks, job_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.session import Session
    from dolambda.transport.base import Transport


class Line:
    """A transport under test, and how to talk over it."""

    def __init__(self, transport: Transport, key: bytes, client: str) -> None:
        self.transport = transport
        self.key = key
        self.run = keys.run_name(client, 0)

    def seal(self, number: int, *calls: tuple[Callable[..., Any], tuple[Any, ...]]) -> SealedJob:
        packed = chunks(*calls)
        blobs = {digest: blob for chunk in packed for digest, blob in chunk.blobs.items()}
        inline = {digest: blob.data for digest, blob in blobs.items() if len(blob.data) <= INLINE}
        job = job_of(packed, run=self.run, number=number, inline=inline)
        return SealedJob(
            self.run,
            number,
            job.to_bytes(self.key),
            tuple(blob for blob in blobs.values() if blob.digest not in inline),
        )

    def open(self, sealed: bytes) -> list[Any]:
        return [outcome.open() for outcome in Reply.from_bytes(sealed, self.key).outcomes]


@pytest.fixture(params=["queue", "direct", "in_process"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    client = keys.new_client_id()
    if request.param == "in_process":
        key = secrets.token_bytes(32)
        made = Line(InProcess(key), key, client)
        yield made
        made.transport.close()
        return
    session: Session = request.getfixturevalue("session")
    transports = ways_of(session, client)
    yield Line(transports.of(request.param), session.key, client)
    transports.close()


def ways_of(session: Session, client: str) -> TransportFactory:
    """The session's, for a client of its own."""
    assert session.transports is not None
    assert session.stack is not None
    assert session.bucket is not None
    return TransportFactory(session.transports._account, session.stack, session.bucket, client, 0.5)


def test_jobs_are_answered(line: Line) -> None:
    futures = [asked(line.transport, line.seal(n, (pow, (n, 2)), (int, ("x",)))) for n in range(10)]
    for n, future in enumerate(futures):
        value, failure = line.open(future.result(30))
        assert value == Value(n * n)
        assert isinstance(failure, Failure)
    line.transport.withdraw(line.run, range(10))


def test_large_arguments_and_results_travel(line: Line) -> None:
    array = np.arange(1_000_000.0)
    (value,) = line.open(
        asked(line.transport, line.seal(0, (lambda x: x * 2, (array,)))).result(30)
    )
    np.testing.assert_array_equal(value.value, array * 2)
    line.transport.withdraw(line.run, [0])


def test_sent_again_the_same_job_has_one_answer(line: Line) -> None:
    job = line.seal(0, (len, ("abc",)))
    assert line.open(asked(line.transport, job).result(30)) == [Value(3)]
    assert line.open(asked(line.transport, job).result(30)) == [Value(3)]
    line.transport.withdraw(line.run, [0])


def test_withdrawn_jobs_leave_nothing(line: Line) -> None:
    asked(line.transport, line.seal(0, (len, ("abc",)))).result(30)
    line.transport.withdraw(line.run, [0])
    line.transport.withdraw(line.run, [0])  # once more does no harm


def test_closing_ends_the_waiting(line: Line) -> None:
    future = asked(line.transport, line.seal(0, (time.sleep, (1,))))
    line.transport.close()
    line.transport.close()
    assert future.done()
    if isinstance(line.transport, S3Queue):
        line.transport.withdraw(line.run, [0])
        time.sleep(2)  # the worker may have begun before that, and then writes its answer
        line.transport.withdraw(line.run, [0])


def test_a_job_withdrawn_while_it_is_being_put_is_not_left_behind(session: Session) -> None:
    """The PUT is held until the withdrawal has begun: the job's object must be gone all the
    same.
    """
    assert session.bucket is not None
    put, begun, go_on = session.bucket.put, threading.Event(), threading.Event()

    def slowly(key: str, data: bytes | memoryview) -> None:
        begun.set()
        go_on.wait(10)
        put(key, data)

    session.bucket.put = slowly  # type: ignore[method-assign] # the slow network
    client = keys.new_client_id()
    transports = ways_of(session, client)
    line = Line(transports.of("queue"), session.key, client)
    large = tuple(
        np.random.default_rng(n).bytes(60_000) for n in range(6)
    )  # so that it goes by `Bucket.put`
    asked(line.transport, line.seal(0, (len, (large,))))
    assert begun.wait(10)
    withdrawal = threading.Thread(target=line.transport.withdraw, args=(line.run, [0]))
    withdrawal.start()
    go_on.set()
    withdrawal.join(20)
    assert session.bucket.list("jobs/") == []
    transports.close()
    time.sleep(
        1
    )  # the event may have come before: what that worker answers is not this test's matter
    session.bucket.delete([keys.reply_key(line.run, 0)])
