"""Frames: the messages on the two pipes between a worker and the child that runs its tasks.

    magic | kind | index | number | attempt | run | nonce | length | CRC-32 | body
    4       1      8       8        8         16    16      8        4        length

The header names the attempt that a frame belongs to: run, job number, attempt and a nonce drawn for
each attempt. So data that a task, a process forked by one, or an earlier attempt has written is
never taken for an outcome of this attempt.

**Input:** kinds, indexes and bodies. **Output:** complete frames, or an error that describes what
was found instead. A blocking descriptor is read until a frame is complete. From a non-blocking one,
partial data is kept for the next call.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import struct
import zlib
from array import array
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from dolambda.wire.chunk import OFFSET
from dolambda.wire.outcome import LARGEST_RESULT
from dolambda.wire.outcome_table import MEASURE, OutcomeTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dolambda.wire.job import Job

MAX_BODY = LARGEST_RESULT + (64 << 20)
"""Largest number of bytes of a body: the largest result, with its output and note."""

NO_TASK = -1
"""Index in the header of a frame that belongs to no task."""

_MAGIC = b"dlf1"
_ROW = struct.Struct("<IBffff")  # length of the requests, kind, started, seconds, cpu, peak
_HEADER = struct.Struct(">4sBqqq16s16sQI")
_READ = 1 << 20  # bytes that one read asks for
_JOINED = 64 * 1024  # bytes up to which parts are joined, so that one write replaces several

# Taken at import: a task that replaces them in `os` harms only itself.
_read, _write = os.read, os.write
_encode = json.JSONEncoder(separators=(",", ":")).encode


Parts = deque[memoryview]
"""The rest of a frame that is still to be written."""


class Kind(IntEnum):
    """The kind of a frame."""

    JOB = 1  # to the child: a sealed job
    REST = 2  # to the child: the tasks of a job whose first child was replaced
    STOP = 3  # to the child: leave out the tasks that have not begun
    TAKEN = 4  # to the child: the outcomes in the region were copied
    BEGUN = 5  # to the worker: the child has received the job and is fit to run it
    FULL = 6  # to the worker: the region has no room for the next outcome
    OUTCOME = 7  # to the worker: an outcome that is larger than the region
    LAST = 8  # to the worker: the outcome of a task after which the child cannot continue
    DONE = 9  # to the worker: all tasks of the job have an outcome


_KINDS = frozenset(Kind)


class FrameError(Exception):
    """The data read is not a frame of the expected attempt."""


@dataclass(frozen=True)
class Sending:
    """One attempt of a job in a child, as headers name it."""

    number: int
    attempt: int
    run: bytes
    nonce: bytes

    @classmethod
    def of_job(cls, job: Job, nonce: bytes | None = None) -> Sending:
        """Return a new attempt of a job, or with ``nonce`` the one that has it."""
        run = hashlib.blake2b(job.run.encode(), digest_size=16).digest()
        return cls(job.number, job.attempt, run, nonce or secrets.token_bytes(16))


@dataclass(frozen=True)
class Frame:
    """A frame that was read."""

    kind: Kind
    index: int
    sending: Sending
    body: memoryview


def pack(
    sending: Sending, kind: Kind, index: int = NO_TASK, body: Iterable[bytes | memoryview] = ()
) -> Parts:
    """Return a frame as parts to write. Large parts are not copied."""
    parts = [memoryview(part) for part in body]
    length, check = sum(part.nbytes for part in parts), 0
    for part in parts:
        check = zlib.crc32(part, check)
    head = _HEADER.pack(
        _MAGIC,
        kind,
        index,
        sending.number,
        sending.attempt,
        sending.run,
        sending.nonce,
        length,
        check,
    )
    if length <= _JOINED:
        return deque([memoryview(b"".join([head, *parts]))])
    return deque([memoryview(head), *(part.cast("B") for part in parts if part.nbytes)])


def write(fd: int, parts: Parts) -> bool:
    """Write as much as the descriptor takes, and remove it from ``parts``.

    Returns:
        Whether everything was written.

    Raises:
        OSError: The write failed.
    """
    while parts:
        try:
            written = _write(fd, parts[0])
        except BlockingIOError:
            return False
        if written == len(parts[0]):
            parts.popleft()
        else:
            parts[0] = parts[0][written:]
    return True


class Reader:
    """Reader of the frames from one descriptor."""

    def __init__(self, fd: int) -> None:
        """Start with nothing read."""
        self._fd = fd
        self._head = bytearray()
        self._body = bytearray()
        self._length: int | None = None

    def next(self, expected: Sending | None = None) -> Frame | None:
        """Return the next frame of the ``expected`` attempt, or of any attempt.

        Returns:
            The frame, or None while it is incomplete.

        Raises:
            EOFError: The pipe has ended.
            FrameError: The data is not such a frame. The descriptor is then useless.
        """
        if self._length is None:
            if not self._fill(self._head, _HEADER.size):
                return None
            self._length = self._checked_length(expected)
        if not self._fill(self._body, self._length):
            return None
        frame = self._frame()
        self._head, self._body, self._length = bytearray(), bytearray(), None
        return frame

    def _fill(self, buffer: bytearray, size: int) -> bool:
        while len(buffer) < size:
            try:
                part = _read(self._fd, min(size - len(buffer), _READ))
            except BlockingIOError:
                return False
            if not part:
                raise EOFError
            buffer += part
        return True

    def _checked_length(self, expected: Sending | None) -> int:
        magic, _, _, number, attempt, run, nonce, length, _ = _HEADER.unpack(self._head)
        if magic != _MAGIC:
            raise FrameError("bytes that are not a frame")
        if expected and Sending(number, attempt, run, nonce) != expected:
            raise FrameError("a frame of another attempt")
        if length > MAX_BODY:
            raise FrameError(f"a frame of {length:,} bytes")
        return int(length)

    def _frame(self) -> Frame:
        _, kind, index, number, attempt, run, nonce, _, check = _HEADER.unpack(self._head)
        if zlib.crc32(self._body) != check:
            raise FrameError("a damaged frame")
        if kind not in _KINDS:
            raise FrameError(f"a frame of kind {kind}")
        return Frame(
            Kind(kind), index, Sending(number, attempt, run, nonce), memoryview(self._body)
        )


def calls_body(calls: Mapping[str, int]) -> list[bytes]:
    """Return the body of FULL and DONE: the requests that the child has made."""
    return [_encode(dict(calls)).encode()]


def open_calls(frame: Frame) -> dict[str, int]:
    """Return the requests in a frame.

    Raises:
        FrameError: The body is malformed.
    """
    return _checked_calls(bytes(frame.body))


def outcome_body(
    kind: int, entry: bytes, measures: Sequence[float], calls: Mapping[str, int]
) -> list[bytes | memoryview]:
    """Return the body of OUTCOME and LAST: one row of an `OutcomeTable`, and the requests."""
    head = _encode(dict(calls)).encode()
    return [_ROW.pack(len(head), kind, *measures), head, entry]


def open_outcome(frame: Frame) -> tuple[OutcomeTable, dict[str, int]]:
    """Return the outcome and the requests in a frame, without unpickling.

    Raises:
        FrameError: The body is malformed.
    """
    try:
        length, kind, *measures = _ROW.unpack(frame.body[: _ROW.size])
    except struct.error as error:
        raise FrameError(f"a malformed outcome ({error!r})") from error
    end = _ROW.size + length
    calls = _checked_calls(bytes(frame.body[_ROW.size : end]))
    entry = frame.body[end:]
    started, seconds, cpu, peak = (array(MEASURE, [measure]) for measure in measures)
    table = OutcomeTable(
        ((frame.index, 1),),
        bytes([kind]),
        array(OFFSET, [len(entry)]),
        started,
        seconds,
        cpu,
        peak,
        entry,
    )
    return table, calls


def _checked_calls(text: bytes) -> dict[str, int]:
    try:
        return {str(action): int(count) for action, count in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FrameError(f"malformed counts ({error!r})") from error
