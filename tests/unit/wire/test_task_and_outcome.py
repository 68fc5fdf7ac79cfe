from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dolambda.errors import (
    EnvelopeError,
    NotPicklableError,
    RemoteError,
    RemoteTraceback,
    SignatureError,
)
from dolambda.wire.blob import Blob
from dolambda.wire.outcome import Failure, Lost, PackedOutcome, Reply, Usage, Value
from dolambda.wire.task import Job, PackedTask, Packer, Task, split_function

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = b"k" * 32


def packed(*tasks: Task, same_buffers: bool = False) -> list[PackedTask]:
    done = list(Packer(same_buffers=same_buffers).pack(tasks))
    assert all(isinstance(task, PackedTask) for task in done)
    return [task for task in done if isinstance(task, PackedTask)]


def test_a_job_comes_out_as_it_went_in() -> None:
    tasks = packed(Task(3, len, ("abc",)), Task(4, len, ([1],), {}))
    inline = {blob.digest: blob.data for task in tasks for blob in task.blobs}
    job = Job("r", 7, 2, time.time(), tuple(tasks), inline, task_timeout=1.5, code="c" * 64)
    found = Job.from_bytes(job.to_bytes(KEY), KEY)
    assert (
        found.run,
        found.number,
        found.attempt,
        found.deadline,
        found.task_timeout,
        found.code,
        found.python,
    ) == (
        job.run,
        job.number,
        job.attempt,
        job.deadline,
        job.task_timeout,
        job.code,
        job.python,
    )
    assert [(task.index, task.function, bytes(task.payload)) for task in found.tasks] == [
        (task.index, task.function, task.payload) for task in tasks
    ]
    assert {digest: bytes(data) for digest, data in found.inline.items()} == inline


def test_a_shared_function_and_array_are_one_blob_each() -> None:
    array = np.ones(100_000)

    def total(x: Any, i: int) -> float:
        return float(x.sum()) + i

    tasks = packed(*(Task(i, total, (array, i)) for i in range(50)), same_buffers=True)
    assert len({blob.digest for task in tasks for blob in task.blobs}) == 2
    assert sum(task.nbytes for task in tasks) < 50 * 500


def test_arrays_changed_between_submissions_are_sent_as_they_were() -> None:
    array = np.zeros(100_000)
    packer = Packer(same_buffers=False)
    (before,) = packer.pack([Task(0, len, (array,))])
    array += 1
    (after,) = packer.pack([Task(1, len, (array,))])
    assert isinstance(before, PackedTask)
    assert isinstance(after, PackedTask)
    assert before.buffers != after.buffers
    assert bytes(before.blobs[-1].data) == bytes(np.zeros(100_000))


def contents(task: PackedTask) -> list[bytes]:
    held = {blob.digest: blob for blob in task.blobs}
    assert all(Blob.from_bytes(blob.data).digest == digest for digest, blob in held.items())
    return [bytes(held[digest].data) for digest in task.buffers]


@pytest.mark.parametrize("count", [700, 5_000, 200_000], ids=["inside", "small", "shared"])
def test_one_array_filled_again_for_each_task_is_sent_as_each_task_was_given_it(count: int) -> None:
    array = np.zeros(count)

    def fed() -> Iterator[Task]:
        for i in range(5):
            array[:] = i
            yield Task(i, float, (array,))

    packer = Packer(same_buffers=True)
    tasks = [task for task in packer.pack(fed()) if isinstance(task, PackedTask)]
    array[:] = -1
    assert [contents(task) for task in tasks] == [
        [np.full(count, float(i)).tobytes()] for i in range(5)
    ]


def test_an_array_that_changes_after_it_was_packed_is_sent_as_it_was() -> None:
    array = np.zeros(200_000)
    (task,) = packed(Task(0, float, (array,)), same_buffers=True)
    array[7] = 1
    assert contents(task) == [np.zeros(200_000).tobytes()]


def test_between_two_calls_of_a_parallel_the_smallest_change_counts() -> None:
    packer, array = Packer(same_buffers=True), np.zeros(200_000)
    (before,) = packer.pack([Task(0, float, (array,))])
    array[7] = 1
    packer.forget_buffers()
    (after,) = packer.pack([Task(1, float, (array,))])
    assert isinstance(before, PackedTask)
    assert isinstance(after, PackedTask)
    assert contents(after) == [array.tobytes()] != contents(before)


def test_arrays_in_a_closure_are_blobs_of_their_own() -> None:
    array = np.ones(100_000)
    (task,) = packed(Task(0, lambda: array.sum()))
    digests, payload = split_function(memoryview(task.blobs[0].data))
    assert digests == [blob.digest for blob in task.blobs[1:]]
    assert len(payload) < 2000


def test_an_error_takes_the_place_of_what_cannot_be_pickled() -> None:
    good, bad = Packer(same_buffers=False).pack(
        [Task(0, len, ("a",)), Task(1, len, ((n for n in "a"),))]
    )
    assert isinstance(good, PackedTask)
    assert isinstance(bad, NotPicklableError)


def test_a_blob_with_other_content_is_refused() -> None:
    with pytest.raises(EnvelopeError, match="has other content than its name says"):
        Blob.from_store(Blob.from_bytes(b"one").digest, b"other")


def test_a_reply_comes_out_as_it_went_in() -> None:
    outcomes = (
        PackedOutcome.from_value(0, {"a": np.arange(100_000)}, 0.5),
        PackedOutcome.from_exception(1, ValueError("no"), 0.1),
        PackedOutcome.from_lost(2, Lost("crashed", "it crashed", "hint it"), "last words"),
    )
    usage = Usage("w", cold=True, started=1.0, seconds=2.0, calls={"s3:GetObject": 1})
    found = Reply.from_bytes(Reply("r", 7, 2, outcomes, usage).to_bytes(KEY), KEY)
    assert (found.run, found.number, found.attempt, found.usage) == ("r", 7, 2, usage)
    value, failure, lost = (outcome.open() for outcome in found.outcomes)
    assert isinstance(value, Value)
    np.testing.assert_array_equal(value.value["a"], np.arange(100_000))
    value.value["a"][0] = 7  # a result is the user's own
    assert isinstance(failure, Failure)
    assert lost == Lost("crashed", "it crashed", "hint it")
    assert found.outcomes[2].output == "last words"


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        outcome = (
            Reply.from_bytes(
                Reply("r", 0, 1, (PackedOutcome.from_exception(0, caught, 0.0),)).to_bytes(KEY), KEY
            )
            .outcomes[0]
            .open()
        )
    assert isinstance(outcome, Failure)
    return outcome.exception


def test_an_exception_comes_back_as_itself_with_the_remote_traceback_as_cause() -> None:
    error = raised(ValueError("boom", 3))
    assert type(error) is ValueError
    assert error.args == ("boom", 3)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in raised" in str(error.__cause__)


class TwoArguments(Exception):  # noqa: N818 - not an error of ours
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one + two)


def test_an_exception_that_cannot_be_unpickled_becomes_a_remote_error() -> None:
    error = raised(TwoArguments(1, 2))
    assert isinstance(error, RemoteError)
    assert "TwoArguments: 3" in str(error)
    assert "in raised" in str(error.__cause__)


def test_a_result_that_cannot_be_pickled_is_a_failure_that_says_so() -> None:
    outcome = PackedOutcome.from_value(5, (n for n in "a"), 0.0).open()
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.exception, NotPicklableError)
    assert "the result of task 5 cannot be pickled: generator" in str(outcome.exception)


class LeavesAMark:
    """Un-pickling it would write a file: the oracle for "refused before it is unpickled"."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (self.path, "w")


def test_a_tampered_reply_is_refused_before_it_is_unpickled(tmp_path: Any) -> None:
    mark = tmp_path / "mark"
    sealed = Reply("r", 0, 1, (PackedOutcome.from_value(0, LeavesAMark(str(mark)), 0.0),)).to_bytes(
        b"attacker's key" + bytes(18)
    )
    with pytest.raises(SignatureError):
        Reply.from_bytes(sealed, KEY)
    assert not mark.exists()
    Reply.from_bytes(sealed, b"attacker's key" + bytes(18)).outcomes[0].open().value.close()  # type: ignore[union-attr] # the mark does work
    assert mark.exists()
