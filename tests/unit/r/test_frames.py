"""Frames between an R session and its bridge."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from dolambda.errors import EnvelopeError
from dolambda.r.frames import Channel, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    yield channel, theirs
    theirs.close()
    channel.close()


def test_a_frame_arrives_as_it_was_sent(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    theirs.sendall(struct.pack(">iid", Kind.PART, 7, 3.0) + b"abc")
    frame = channel.receive()
    assert frame is not None
    assert (frame.kind, frame.loop, bytes(frame.data)) == (Kind.PART, 7, b"abc")


def test_large_frames_go_both_ways(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    content = bytes(range(256)) * (3 << 13)
    sender = threading.Thread(target=channel.send, args=(Kind.RESULTS, 1, content, b"end"))
    sender.start()
    with Channel(theirs.dup()) as other:
        frame = other.receive()
    sender.join()
    assert frame is not None
    assert bytes(frame.data) == content + b"end"


def test_texts_keep_what_they_say_whatever_they_hold(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    with Channel(theirs.dup()) as other:
        other.send_texts(Kind.ERROR, 0, ["", "ä\n", "a\x1eb", "c\0d", ""])
        frame = channel.receive()
        assert frame is not None
        assert frame.texts() == ["", "ä\n", "a b", "c d", ""]
        other.send_fields(Kind.READY, 0, {"workers": 2, "region": ""})
        frame = channel.receive()
        assert frame is not None
        assert frame.fields() == {"workers": "2", "region": ""}


def test_the_end_of_the_stream_is_no_frame(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    theirs.sendall(struct.pack(">iid", Kind.PART, 7, 300.0) + b"cut")
    theirs.shutdown(socket.SHUT_WR)
    assert channel.receive() is None


def test_a_frame_may_be_longer_than_an_int_of_r_can_say(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, theirs = ends
    theirs.sendall(struct.pack(">iid", Kind.PART, 7, 2.0**31 + 8) + b"it is announced, and cut")
    theirs.shutdown(socket.SHUT_WR)
    assert channel.receive() is None


@pytest.mark.parametrize("length", [-1.0, 0.5, float("nan"), float("inf"), 1e30])
def test_a_length_that_makes_no_sense_is_refused(
    ends: tuple[Channel, socket.socket], length: float
) -> None:
    channel, theirs = ends
    theirs.sendall(struct.pack(">iid", Kind.PART, 7, length))
    with pytest.raises(EnvelopeError, match="a frame of"):
        channel.receive()
