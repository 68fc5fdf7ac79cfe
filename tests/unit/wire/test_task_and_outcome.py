from __future__ import annotations

import pickle
import time
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

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
from dolambda.wire.chunk import Chunk, ChunkPart
from dolambda.wire.job import Job, Place
from dolambda.wire.outcome import Failure, Lost, PackedOutcome, Usage, Value
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.packer import CHUNK_BYTES, Packer, Refused, joined_singles
from dolambda.wire.reply import Reply
from dolambda.wire.task import TaskContext, split_function

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = b"k" * 32


def packed(function: Any, *calls: tuple[Any, ...], same_buffers: bool = False) -> Chunk:
    (chunk,) = Packer(same_buffers=same_buffers).pack(function, calls, 0)
    assert isinstance(chunk, Chunk)
    return chunk


def test_a_job_comes_out_as_it_went_in() -> None:
    array = np.arange(3000.0)
    chunk = packed(len, ("abc",), ([1],), (array,), ((2, 3),))
    keywords = packed_with_keywords(sorted, (([2, 1],), {"reverse": True}))
    parts = (ChunkPart(chunk, 1, 4), ChunkPart(keywords, 0, 1))
    inline = {digest: blob.data for digest, blob in chunk.blobs.items()}
    job = Job(
        "r",
        7,
        2,
        time.time(),
        parts,
        inline,
        task_timeout=1.5,
        code="c" * 64,
        context=TaskContext(nesting=1, env={"A": "b"}),
        place=Place("stack", "region", "03"),
    )
    found = Job.from_bytes(job.to_bytes(KEY), KEY)
    for name in ("run", "number", "attempt", "deadline", "task_timeout", "code", "python"):
        assert getattr(found, name) == getattr(job, name)
    for name in ("context", "place"):
        assert getattr(found, name) == getattr(job, name)
    assert list(found.indexes()) == list(job.indexes()) == [1, 2, 3, 0]
    for part, sent in zip(found.parts, parts, strict=True):
        assert (part.chunk.function, part.chunk.keywords) == (
            sent.chunk.function,
            sent.chunk.keywords,
        )
        assert bytes(part.payload) == bytes(sent.payload)
        assert (part.ends, part.buffers) == (sent.ends, sent.buffers)
    assert {digest: bytes(data) for digest, data in found.inline.items()} == {
        digest: bytes(data) for digest, data in inline.items()
    }


def packed_with_keywords(function: Any, *calls: Any) -> Chunk:
    (chunk,) = Packer(same_buffers=False).pack(function, calls, 0, keywords=True)
    assert isinstance(chunk, Chunk)
    return chunk


def test_the_rest_of_a_job_begins_where_its_first_child_ended() -> None:
    chunks = [packed(len, *((f"{i}" * i,) for i in range(count))) for count in (3, 4)]
    job = Job("r", 0, 1, 0.0, tuple(ChunkPart(chunk, 0, len(chunk)) for chunk in chunks))
    for done in range(7):
        rest = job.rest(done)
        assert list(rest.indexes()) == list(job.indexes())[done:]
        found = Job.from_bytes(rest.to_bytes(KEY), KEY)
        assert [bytes(part.payload) for part in found.parts] == [
            bytes(part.payload) for part in rest.parts
        ]


def test_a_shared_function_and_array_are_one_blob_each() -> None:
    array = np.ones(100_000)

    def total(x: Any, i: int) -> float:
        return float(x.sum()) + i

    chunk = packed(total, *((array, i) for i in range(50)), same_buffers=True)
    assert len(chunk.blobs) == 2
    assert len(chunk.payload) < 50 * 500


def test_arrays_changed_between_submissions_are_sent_as_they_were() -> None:
    array = np.zeros(100_000)
    packer = Packer(same_buffers=False)
    (before,) = packer.pack(len, [(array,)], 0)
    array += 1
    (after,) = packer.pack(len, [(array,)], 1)
    assert contents(before) == [[np.zeros(100_000).tobytes()]]
    assert contents(after) == [[np.ones(100_000).tobytes()]]


def contents(chunk: Chunk | Refused) -> list[list[bytes]]:
    """The buffers of each task of a chunk."""
    assert isinstance(chunk, Chunk)
    held = chunk.blobs
    assert all(Blob.from_bytes(blob.data).digest == digest for digest, blob in held.items())
    found = []
    for position in range(len(chunk)):
        ends = chunk.buffers.get(position)
        if ends is None:  # inside
            (array,) = pickle.loads(chunk.pickle_of(position))  # noqa: S301 - made here
            found.append([array.tobytes()])
        else:
            found.append([bytes(held[digest].data) for digest in ends])
    return found


@pytest.mark.parametrize("count", [100, 5_000, 200_000], ids=["inside", "small", "shared"])
def test_one_array_filled_again_for_each_task_is_sent_as_each_task_was_given_it(count: int) -> None:
    array = np.zeros(count)

    def fed() -> Iterator[tuple[Any]]:
        for i in range(5):
            array[:] = i
            yield (array,)

    packer = Packer(same_buffers=True)
    (chunk,) = packer.pack(float, fed(), 0)
    array[:] = -1
    assert contents(chunk) == [[np.full(count, float(i)).tobytes()] for i in range(5)]


def test_an_array_that_changes_after_it_was_packed_is_sent_as_it_was() -> None:
    array = np.zeros(200_000)
    chunk = packed(float, (array,), same_buffers=True)
    array[7] = 1
    assert contents(chunk) == [[np.zeros(200_000).tobytes()]]


def test_between_two_calls_of_a_parallel_the_smallest_change_counts() -> None:
    packer, array = Packer(same_buffers=True), np.zeros(200_000)
    (before,) = packer.pack(float, [(array,)], 0)
    array[7] = 1
    packer.forget_buffers()
    (after,) = packer.pack(float, [(array,)], 1)
    assert contents(after) == [[array.tobytes()]] != contents(before)


def test_arrays_in_a_closure_are_blobs_of_their_own() -> None:
    array = np.ones(100_000)
    chunk = packed(lambda: array.sum(), ())
    function, *others = chunk.blobs
    assert function == chunk.function
    digests, payload = split_function(memoryview(chunk.blobs[function].data))
    assert digests == others
    assert len(payload) < 2000


def test_an_error_takes_the_place_of_what_cannot_be_pickled() -> None:
    calls = [("a",), ((n for n in "a"),), ("b",), ("c",)]
    good, bad, others = Packer(same_buffers=False).pack(len, calls, 5)
    assert isinstance(good, Chunk)
    assert isinstance(bad, Refused)
    assert isinstance(others, Chunk)
    assert (good.first, bad.index, others.first, len(others)) == (5, 6, 7, 2)
    assert isinstance(bad.error, NotPicklableError)


class Shares:
    """Two arguments that are one object."""


def test_tasks_share_no_objects_so_that_a_part_of_a_chunk_is_what_the_whole_is() -> None:
    shared, function = Shares(), lambda x: x
    calls = [(shared, [i], function) for i in range(6)]
    whole = packed(print, *calls)
    for position, call in enumerate(calls):
        assert bytes(whole.pickle_of(position)) == bytes(packed(print, call).payload)


def test_a_blob_with_other_content_is_refused() -> None:
    with pytest.raises(EnvelopeError, match="does not match its name"):
        Blob.from_store(Blob.from_bytes(b"one").digest, b"other")


def test_a_reply_comes_out_as_it_went_in() -> None:
    outcomes = [
        PackedOutcome.from_value(0, {"a": np.arange(100_000)}, 0.5),
        PackedOutcome.from_exception(1, ValueError("no"), 0.1),
        PackedOutcome.from_lost(2, Lost("crashed", "it crashed", "hint it"), "last words"),
    ]
    usage = Usage("w", cold=True, started=1.0, seconds=2.0, calls={"s3:GetObject": 1})
    found = Reply.from_bytes(
        Reply("r", 7, 2, OutcomeTable.from_outcomes(outcomes), usage).to_bytes(KEY), KEY
    )
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
        table = OutcomeTable.from_outcomes([PackedOutcome.from_exception(0, caught, 0.0)])
        reply = Reply.from_bytes(Reply("r", 0, 1, table).to_bytes(KEY), KEY)
        outcome = reply.outcomes[0].open()
    assert isinstance(outcome, Failure)
    return outcome.exception


def test_an_exception_comes_back_as_itself_with_the_remote_traceback_as_cause() -> None:
    error = raised(ValueError("boom", 3))
    assert type(error) is ValueError
    assert error.args == ("boom", 3)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in raised" in str(error.__cause__)


def test_an_exception_that_cannot_be_unpickled_becomes_a_remote_error() -> None:
    # Made here: dask.distributed makes all exceptions that it finds picklable, by tblib.
    class TwoArguments(Exception):  # noqa: N818 - not an error of ours
        def __new__(cls, one: int, two: int) -> Self:
            return super().__new__(cls, one, two)

        def __init__(self, one: int, two: int) -> None:
            super().__init__(one + two)

    error = raised(TwoArguments(1, 2))
    assert isinstance(error, RemoteError)
    assert "TwoArguments: 3" in str(error)
    assert "in raised" in str(error.__cause__)


def test_a_result_that_cannot_be_pickled_is_a_failure_that_says_so() -> None:
    outcome = PackedOutcome.from_value(5, (n for n in "a"), 0.0).open()
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.exception, NotPicklableError)
    assert "the result of task 5 cannot be pickled: generator" in str(outcome.exception)
    assert "\n  Return what it holds, such as a list: " in str(outcome.exception)


class LeavesAMark:
    """Un-pickling it would write a file: the oracle for "refused before it is unpickled"."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (self.path, "w")


def test_a_tampered_reply_is_refused_before_it_is_unpickled(tmp_path: Any) -> None:
    mark = tmp_path / "mark"
    outcome = PackedOutcome.from_value(0, LeavesAMark(str(mark)), 0.0)
    table = OutcomeTable.from_outcomes([outcome])
    sealed = Reply("r", 0, 1, table).to_bytes(b"attacker's key" + bytes(18))
    with pytest.raises(SignatureError):
        Reply.from_bytes(sealed, KEY)
    assert not mark.exists()
    # The mark does work.
    Reply.from_bytes(sealed, b"attacker's key" + bytes(18)).outcomes[0].open().value.close()  # type: ignore[union-attr]
    assert mark.exists()


@pytest.mark.parametrize("kind", [0x01, 0x02, 0x07, 0x10, 0x12, 0x20, 0xFF])
@pytest.mark.parametrize(
    "entry", [b"", b"\0" * 40, b"\x02\0\0\0[]", b'\x08\0\0\0{"a": 1}', b"\xff" * 40]
)
def test_an_outcome_that_a_task_has_written_over_harms_no_other(kind: int, entry: bytes) -> None:
    values = [PackedOutcome.from_value(index, index, 0.1) for index in range(3)]
    table = OutcomeTable.from_outcomes(values)
    payload = bytes(table.payload[: table.ends[0]]) + entry + bytes(table.payload[table.ends[1] :])
    ends = array("Q", table.ends[:1])
    ends.append(ends[0] + len(entry))
    ends.append(len(payload))
    scribbled = replace(table, kinds=bytes([0, kind, 0]), ends=ends, payload=payload)
    reply = Reply.from_bytes(Reply("r", 1, 1, scribbled).to_bytes(KEY), KEY)
    before, harmed, after = (outcome.open() for outcome in reply.outcomes)
    assert (before, after) == (Value(0), Value(2))
    assert isinstance(harmed, Lost | Failure)
    assert "task 1" in str(harmed.to_error())


def test_single_calls_come_together_only_up_to_the_size_of_a_chunk() -> None:
    packer = Packer(same_buffers=False)
    singles = [packer.pack_single(len, ("x" * (CHUNK_BYTES // 4),), {}, i) for i in range(12)]
    chunks = list(joined_singles(singles))
    assert all(isinstance(chunk, Chunk) and len(chunk) <= 5 for chunk in chunks)
    assert sum(len(chunk) for chunk in chunks if isinstance(chunk, Chunk)) == 12
