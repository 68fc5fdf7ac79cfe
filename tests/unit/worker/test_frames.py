from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dolambda.wire.outcome import PackedOutcome
from dolambda.wire.outcome_table import entry_of
from dolambda.worker import frames
from dolambda.worker.frames import Frame, FrameError, Kind, Reader, Sending

if TYPE_CHECKING:
    from collections.abc import Iterable

SENDING = Sending(7, 2, b"r" * 16, b"n" * 16)
BODY = b"the body of a frame"


def packed(sending: Sending = SENDING, kind: Kind = Kind.OUTCOME, body: bytes = BODY) -> bytes:
    return b"".join(frames.pack(sending, kind, 3, [body]))


def read(parts: Iterable[bytes], expected: Sending | None = SENDING) -> Frame | str:
    """What a reader finds: a frame, or why there is none."""
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    reader, found = Reader(reads), None
    try:
        for part in parts:
            assert found is None
            os.write(writes, part)
            found = reader.next(expected)
        os.close(writes)
        return found or reader.next(expected) or "nothing"
    except EOFError:
        return "end"
    except FrameError as error:
        return str(error)
    finally:
        os.close(reads)


@given(st.lists(st.integers(1, len(packed()) - 1), unique=True, max_size=6))
def test_a_frame_may_come_in_pieces(cuts: list[int]) -> None:
    whole, places = packed(), [0, *sorted(cuts), None]
    pieces = [whole[begin:end] for begin, end in pairwise(places)]
    frame = read(pieces)
    assert isinstance(frame, Frame)
    assert (frame.kind, frame.index, frame.sending) == (Kind.OUTCOME, 3, SENDING)
    assert bytes(frame.body) == BODY


@pytest.mark.parametrize("place", range(len(packed())))
def test_a_frame_with_a_damaged_byte_is_none_of_its_sending(place: int) -> None:
    whole = bytearray(packed())
    whole[place] ^= 0x55
    found = read([bytes(whole)])
    # Kind and index are compared by who knows which are due: see `Child.wait`.
    assert isinstance(found, str) or (found.kind, found.index) != (Kind.OUTCOME, 3)


@given(st.binary(max_size=300))
def test_garbage_is_no_frame(data: bytes) -> None:
    assert isinstance(read([data] if data else []), str)


@pytest.mark.parametrize("cut", [0, 1, 40, len(packed()) - 1])
def test_a_frame_that_is_cut_off_is_an_end(cut: int) -> None:
    assert read([packed()[:cut]] if cut else []) == "end"


@pytest.mark.parametrize(
    "other",
    [
        replace(SENDING, number=8),
        replace(SENDING, attempt=3),
        replace(SENDING, run=b"s" * 16),
        replace(SENDING, nonce=b"m" * 16),
    ],
)
def test_a_frame_of_another_sending_is_refused_before_its_body_is_read(other: Sending) -> None:
    assert read([packed(other)[:-1]]) == "a frame of another attempt"


def test_a_length_that_no_body_can_have_is_refused_before_anything_is_read() -> None:
    whole = bytearray(packed())
    place = whole.index(len(BODY).to_bytes(8, "big"))
    whole[place : place + 8] = (frames.MAX_BODY + 1).to_bytes(8, "big")
    assert "bytes" in str(read([bytes(whole)]))


def test_each_sending_of_a_job_has_a_nonce_of_its_own() -> None:
    from support.worker_jobs import job  # noqa: PLC0415 - only here

    sent = job((len, ("a",)))
    assert Sending.of_job(sent) != Sending.of_job(sent)


def test_what_a_pipe_does_not_take_is_written_later() -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    os.set_blocking(reads, False)
    body = os.urandom(300_000)
    parts, reader = frames.pack(SENDING, Kind.JOB, body=[body]), Reader(reads)
    assert not frames.write(writes, parts)
    while (frame := reader.next()) is None:
        frames.write(writes, parts)
    assert bytes(frame.body) == body
    os.close(reads)
    os.close(writes)


def test_an_outcome_comes_out_as_it_went_in() -> None:
    outcome = replace(PackedOutcome.from_value(3, list(range(10)), 0.5), output="printed")
    kind, parts = entry_of(outcome)
    measures = (0.25, 0.5, 0.125, 7.0)
    body = frames.outcome_body(kind, b"".join(parts), measures, {"s3:GetObject": 2})
    frame = read([packed(body=b"".join(body))])
    assert isinstance(frame, Frame)
    table, calls = frames.open_outcome(frame)
    (found,) = table
    assert (found.index, found.open(), found.output) == (3, outcome.open(), "printed")
    assert (table.started[0], table.seconds[0], table.cpu[0], table.peak[0]) == measures
    assert calls == {"s3:GetObject": 2}


@given(st.binary(max_size=60))
def test_a_body_that_is_no_outcome_is_refused(body: bytes) -> None:
    frame = read([packed(body=body)])
    assert isinstance(frame, Frame)
    with pytest.raises(FrameError):
        frames.open_outcome(frame)
