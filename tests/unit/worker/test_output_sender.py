from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from dolambda.wire.output_part import MAX_DATA, OutputPart
from dolambda.worker.output_sender import OutputSender
from support.worker_jobs import KEY, job, run

if TYPE_CHECKING:
    from pathlib import Path

    from support.worker_jobs import WorkerThatWaits

# The test process has threads, so newer Pythons warn of fork; Lambda's own process has none when a
# worker forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")

_PATIENCE_S = 60


class Bucket:
    """Takes parts, and tells a task that it may go on once something was printed."""

    def __init__(self, go_on: Path | None = None, after: bytes = b"") -> None:
        self.parts: list[OutputPart] = []
        self.refused = 0
        self._go_on, self._after = go_on, after

    def put(self, key: str, data: bytes) -> bool:
        if self.refused:
            self.refused -= 1
            return False
        self.parts.append(OutputPart.from_bytes(data, KEY, key))
        if self._go_on and self._after in self.printed():
            self._go_on.touch()
        return True

    def printed(self) -> bytes:
        return b"".join(part.data for part in self.parts)


def sender(bucket: Bucket) -> OutputSender:
    """A sender whose parts are due at once."""
    made = OutputSender(job((len, ("a",))), 0.0, "abc123", KEY, bucket.put)
    made.begin_turn()
    assert made.is_due(0, begun=time.monotonic() - 10)
    return made


def test_lines_travel_whole_and_once() -> None:
    bucket, output = Bucket(), bytearray()
    sent = sender(bucket)

    def peek(start: int, most: int) -> bytes:
        return bytes(output[start : start + most])

    for said in (b"one\ntw", b"o\nthree\r\n", b"four\r", b"five"):
        output += said
        assert sent.send(peek)
    assert [part.data for part in bucket.parts] == [b"one\n", b"two\nthree\r\n", b"four\r"]
    assert [(part.number, part.start) for part in bucket.parts] == [(0, 0), (1, 4), (2, 15)]


def test_a_line_that_stays_unfinished_is_sent_at_the_next_part() -> None:
    bucket = Bucket()
    sent = sender(bucket)
    for _ in range(3):
        sent.send(lambda start, most: b"half a line"[start : start + most])
    assert [part.data for part in bucket.parts] == [b"half a line"]


def test_a_part_holds_64_kb_and_the_next_continues() -> None:
    bucket, output = Bucket(), b"x" * 2 * MAX_DATA + b"\n"
    sent = sender(bucket)
    for _ in range(3):
        sent.send(lambda start, most: output[start : start + most])
    assert [len(part.data) for part in bucket.parts] == [MAX_DATA, MAX_DATA, 1]


def test_what_could_not_be_written_is_in_the_next_part() -> None:
    bucket, output = Bucket(), bytearray(b"one\n")
    sent = sender(bucket)
    bucket.refused = 1
    assert not sent.send(lambda start, most: bytes(output[start : start + most]))
    output += b"two\n"
    assert sent.send(lambda start, most: bytes(output[start : start + most]))
    assert [(part.number, part.start, part.data) for part in bucket.parts] == [
        (1, 0, b"one\ntwo\n")
    ]


def _waits(name: str, go_on: str) -> str:
    print(f"{name} has begun")
    os.write(2, b"from a descriptor\n")
    until = time.monotonic() + _PATIENCE_S
    while not os.path.exists(go_on) and time.monotonic() < until:  # noqa: PTH110 - on the worker
        time.sleep(0.01)
    print("it goes on")
    return name


def test_what_a_task_prints_is_sent_while_it_runs(
    worker_that_waits: WorkerThatWaits, tmp_path: Path
) -> None:
    worker = worker_that_waits(first_part=1)  # longer than the first task
    go_on = tmp_path / "go on"
    bucket = Bucket(go_on, b"second has begun\nfrom a descriptor\n")
    sent = job(
        (_waits, ("first", os.devnull)),
        (_waits, ("second", str(go_on))),
        part_interval=0.05,
    )
    reply = run(worker, sent, _PATIENCE_S, put_part=bucket.put)
    assert go_on.exists()  # else it had waited for nothing
    first, second = reply.outcomes
    assert first.output == "first has begun\nfrom a descriptor\nit goes on\n"
    assert second.output == "second has begun\nfrom a descriptor\nit goes on\n"
    assert {part.task for part in bucket.parts} == {1}
    assert second.output.encode().startswith(bucket.printed())
    part = bucket.parts[0]
    assert (part.run, part.job, part.attempt, part.worker) == ("r", 0, 1, reply.usage.worker)


@pytest.mark.parametrize("more", [{}, {"part_interval": None}])
def test_nothing_is_sent_unless_the_job_asks_for_it(
    worker_that_waits: WorkerThatWaits, more: dict[str, float | None]
) -> None:
    worker, bucket = worker_that_waits(first_part=0.1), Bucket()
    reply = run(worker, job((_prints_for, (0.5,)), **more), put_part=bucket.put)
    assert [one.output for one in reply.outcomes] == ["begun\n"]
    assert bucket.parts == []


def test_short_tasks_send_nothing(worker_that_waits: WorkerThatWaits) -> None:
    worker, bucket = worker_that_waits(first_part=1), Bucket()
    sent = job(*[(_prints_for, (0.1,))] * 12, part_interval=0.01)
    reply = run(worker, sent, put_part=bucket.put)
    assert [one.output for one in reply.outcomes] == ["begun\n"] * 12
    assert bucket.parts == []


def _prints_for(seconds: float) -> None:
    print("begun")
    time.sleep(seconds)


def _prints_and_dies(go_on: str) -> None:
    print("last words")
    sys.stdout.flush()
    _waits("it", go_on)
    os._exit(3)


def test_what_a_task_printed_before_it_died_was_sent_and_is_in_the_reply(
    worker_that_waits: WorkerThatWaits, tmp_path: Path
) -> None:
    worker = worker_that_waits(first_part=0.1)
    go_on = tmp_path / "go on"
    bucket = Bucket(go_on, b"last words\n")
    sent = job((_prints_and_dies, (str(go_on),)), (len, ("a",)), part_interval=0.05)
    died, next_one = run(worker, sent, _PATIENCE_S, put_part=bucket.put).outcomes
    assert died.kind == "lost"
    assert died.output.encode().startswith(bucket.printed())
    assert bucket.printed().startswith(b"last words\n")
    assert next_one.kind == "value"


def test_a_job_that_may_be_cancelled_is_asked_about_when_a_part_is_refused(
    worker_that_waits: WorkerThatWaits, tmp_path: Path
) -> None:
    worker = worker_that_waits(first_part=0.1, grace=0.1)
    bucket, asked = Bucket(), list[float]()
    bucket.refused = 1_000_000
    sent = job((_waits, ("it", str(tmp_path / "never"))), part_interval=0.05)

    def wanted() -> bool:
        asked.append(time.monotonic())
        return len(asked) < 3

    reply = run(worker, sent, _PATIENCE_S, put_part=bucket.put, wanted=wanted)
    # It is lost.
    assert [one.open().reason for one in reply.outcomes] == ["cancelled"]  # type: ignore[union-attr]
    assert len(asked) == 3
