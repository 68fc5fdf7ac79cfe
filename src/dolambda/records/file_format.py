r"""The file of one run. It is only appended to, and readable at any time.

    {"format": 1, "id": ..., "begun": ...}\n        the header, one line of JSON
    frame   tag, lengths, CRC | JSON | columns      a block of tasks, any number of them
    frame   tag, lengths, CRC | JSON                the run's counts so far, after each block
    frame   tag, lengths, CRC | JSON                the footer, once the run has ended

The file of a killed run has no footer, and may end in half a frame, which is ignored. Readers
ignore frames with an unknown tag.

**Input:** blocks of tasks. **Output:** bytes. From bytes, a `RunRecord`.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = 1
_FRAME = struct.Struct("<4sIII")
_BLOCK, _COUNTS, _FOOTER = b"BLCK", b"CNTS", b"FOOT"
_MEASURES = ("started", "seconds", "cpu", "peak")
_HEADER_BYTES = 1 << 16


class JobEntry(NamedTuple):
    """A job whose reply has arrived. ``spans`` are the first index and the number of its tasks."""

    number: int
    attempt: int
    worker: str
    cold: bool
    started: float
    seconds: float
    spans: tuple[tuple[int, int], ...]


class ErrorEntry(NamedTuple):
    """A task without a value. ``message`` is empty unless messages are kept."""

    task: int
    kind: str
    type: str
    message: str


@dataclass(eq=False)
class Block:
    """Tasks in the order in which their replies arrived, as columns."""

    jobs: list[JobEntry] = field(default_factory=list)
    kinds: bytearray = field(default_factory=bytearray)
    started: array[float] = field(default_factory=lambda: array("f"))
    seconds: array[float] = field(default_factory=lambda: array("f"))
    cpu: array[float] = field(default_factory=lambda: array("f"))
    peak: array[float] = field(default_factory=lambda: array("f"))
    errors: list[ErrorEntry] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.kinds)

    def to_bytes(self) -> bytes:
        """Return the block as a frame."""
        columns = [getattr(self, name) for name in _MEASURES]
        if sys.byteorder == "big":
            columns = [array("f", column) for column in columns]
            for column in columns:
                column.byteswap()
        body = bytes(self.kinds) + b"".join(column.tobytes() for column in columns)
        return _framed(_BLOCK, {"jobs": self.jobs, "errors": self.errors}, body)

    def extend(self, header: dict[str, Any], body: bytes) -> None:
        """Add the tasks of a frame. A malformed frame raises ValueError, TypeError or KeyError."""
        jobs = [
            JobEntry._make([*facts, tuple((first, length) for first, length in spans)])
            for *facts, spans in header["jobs"]
        ]
        errors = [ErrorEntry(*entry) for entry in header["errors"]]
        size = sum(length for job in jobs for _, length in job.spans)
        if len(body) != size * (1 + 4 * len(_MEASURES)):
            raise ValueError(f"{size} tasks in {len(body)} bytes")
        self.jobs += jobs
        self.errors += errors
        self.kinds += body[:size]
        for number, name in enumerate(_MEASURES):
            column = array("f", body[size * (1 + 4 * number) : size * (5 + 4 * number)])
            if sys.byteorder == "big":
                column.byteswap()
            getattr(self, name).extend(column)


@dataclass(frozen=True)
class RunRecord:
    """The known facts of a run.

    Attributes:
        header: Facts from its beginning.
        tasks: All tasks whose replies were recorded.
        footer: Facts from its end. None while it runs, or if its program was killed.
        counts: Its latest counts. Empty if none were recorded.
    """

    header: dict[str, Any]
    tasks: Block
    footer: dict[str, Any] | None
    counts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_file(cls, path: Path) -> RunRecord:
        """Read a file as far as it is well-formed.

        Raises:
            OSError: It cannot be read.
            ConfigurationError: It is not a record of this format.
        """
        return cls.from_bytes(path.read_bytes(), str(path))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "this") -> RunRecord:
        """Read a file as far as it is well-formed. ``name`` names it in errors.

        Raises:
            ConfigurationError: The file is not a record of this format.
        """
        header_of(data, name)
        reader = RecordReader()
        reader.feed(data)
        return reader.record


class RecordReader:
    """Reader of a file that may still grow. Each part is read once."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._left = b""
        self._header: dict[str, Any] | None = None
        self._tasks = Block()
        self._counts: dict[str, Any] = {}
        self._footer: dict[str, Any] | None = None
        self._damaged = False

    @property
    def record(self) -> RunRecord:
        """The facts read so far. Its tasks grow with the next `feed`."""
        return RunRecord(self._header or {}, self._tasks, self._footer, self._counts)

    def feed(self, data: bytes) -> None:
        """Read the next part of the file. Raises `ConfigurationError` if it is no record."""
        if self._damaged:
            return
        self._left += data
        if self._header is None:
            if b"\n" not in self._left and len(self._left) < _HEADER_BYTES:
                return
            self._header = header_of(self._left)
            self._left = self._left[self._left.index(b"\n") + 1 :]
        at = 0
        try:
            for tag, facts, body, end in _frames(memoryview(self._left)):
                self._add(tag, facts, body)
                at = end
        except (ValueError, TypeError, KeyError):  # all of them mean a malformed frame
            self._damaged = True
        self._left = b"" if self._damaged else self._left[at:]

    def _add(self, tag: bytes, facts: dict[str, Any], body: bytes) -> None:
        if tag == _BLOCK:
            self._tasks.extend(facts, body)
        elif tag == _COUNTS:
            self._counts = facts
        elif tag == _FOOTER:
            self._footer = facts


def header_of(data: bytes, name: str = "this") -> dict[str, Any]:
    """Return the header.

    Raises:
        ConfigurationError: The data is not a record of this format.
    """
    try:
        header = json.loads(data[: data.index(b"\n", 0, _HEADER_BYTES)])
        known = header["format"] == FORMAT and isinstance(header["id"], str)
    except (ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise ConfigurationError(
            f"{name} is not a record of format {FORMAT}",
            hint="It was written by another version of dolambda, or is not a record of a run.",
        )
    return dict(header)


def footer_of(tail: bytes) -> dict[str, Any] | None:
    """Return the footer from the last bytes of a file, or None if there is none."""
    at = tail.rfind(_FOOTER)
    try:
        frames = list(_frames(memoryview(tail)[at:])) if at >= 0 else []
    except ValueError:  # these bytes were not a footer's tag
        return None
    return frames[0][1] if len(frames) == 1 else None


def header_line(header: dict[str, Any]) -> bytes:
    """Return the header in its written form."""
    return json.dumps({"format": FORMAT, **header}, separators=(",", ":")).encode() + b"\n"


def counts_frame(facts: dict[str, Any]) -> bytes:
    """Return the run's counts so far in their written form."""
    return _framed(_COUNTS, facts, b"")


def footer_frame(facts: dict[str, Any]) -> bytes:
    """Return the footer in its written form."""
    return _framed(_FOOTER, facts, b"")


def _framed(tag: bytes, facts: dict[str, Any], body: bytes) -> bytes:
    head = json.dumps(facts, separators=(",", ":")).encode()
    return _FRAME.pack(tag, len(head), len(body), zlib.crc32(body, zlib.crc32(head))) + head + body


def _frames(data: memoryview) -> Iterator[tuple[bytes, dict[str, Any], bytes, int]]:
    """Yield the frames up to the first that is cut off, each with its end.

    Raises:
        ValueError: A frame is damaged.
    """
    at = 0
    while at + _FRAME.size <= len(data):
        tag, head_size, body_size, crc = _FRAME.unpack_from(data, at)
        begin = at + _FRAME.size
        at = begin + head_size + body_size
        if at > len(data):
            return
        if zlib.crc32(data[begin:at]) != crc:
            raise ValueError("a frame is damaged")
        yield (
            tag,
            json.loads(bytes(data[begin : begin + head_size])),
            bytes(data[at - body_size : at]),
            at,
        )
