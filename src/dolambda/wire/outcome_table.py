"""The outcomes of a job's tasks, as columns.

    kinds     1 byte for each task: value, failure or lost, and what else its entry holds
    ends      offset in ``payload`` at which each entry ends
    started   seconds since the job began        seconds, cpu   time that the task took
    peak      MB of memory that its process had used at most by then
    payload   | entry of task 0 | entry of task 1 | ...

Most entries are only a pickle. The others begin with the parts that their kind announces:

    [length, output] [length, note as JSON] [count, lengths of the buffers] pickle [buffers]

**Input:** packed outcomes, on the worker. **Output:** values or packed outcomes, on the client.
"""

from __future__ import annotations

import json
import pickle
import struct
from array import array
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from dolambda.wire.chunk import OFFSET
from dolambda.wire.outcome import CRASHED, Lost, PackedOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dolambda.wire.job import BodyReader
    from dolambda.wire.outcome import Kind

VALUE, FAILURE, LOST = 0, 1, 2
_OUTPUT, _BUFFERS = 0x10, 0x20
_KINDS: tuple[Kind, ...] = ("value", "failure", "lost")
_NOTES = {FAILURE: {"type", "message", "traceback"}, LOST: {"reason", "detail", "hint"}}
_NUMBER_OF: dict[Kind, int] = {kind: number for number, kind in enumerate(_KINDS)}
_encode = json.JSONEncoder(separators=(",", ":")).encode  # created at import: a task may break json
_LENGTH = struct.Struct("<I")
_SIZE = struct.Struct("<Q")
MEASURE: Literal["f"] = "f"
"""Type code of the measured columns."""


def entry_of(outcome: PackedOutcome) -> tuple[int, list[bytes | memoryview]]:
    """Return the kind of an outcome and the parts of its entry."""
    kind = _NUMBER_OF[outcome.kind]
    parts: list[bytes | memoryview] = []
    if outcome.output:
        kind |= _OUTPUT
        parts += _sized(outcome.output.encode(errors="replace"))
    if outcome.kind != "value":
        parts += _sized(_encode(dict(outcome.note)).encode())
    if outcome.buffers:
        kind |= _BUFFERS
        sizes = [_SIZE.pack(memoryview(buffer).nbytes) for buffer in outcome.buffers]
        parts += [_LENGTH.pack(len(sizes)), *sizes]
    return kind, [*parts, outcome.payload, *outcome.buffers]


def _sized(data: bytes) -> list[bytes]:
    return [_LENGTH.pack(len(data)), data]


def outcome_of(
    entry: memoryview, kind: int, index: int, seconds: float, task: str
) -> PackedOutcome:
    """Return the outcome that an entry holds.

    Raises:
        ValueError: The entry is malformed.
    """
    at = 0

    def text() -> str:
        nonlocal at
        (length,) = _LENGTH.unpack_from(entry, at)
        begin, at = at + _LENGTH.size, at + _LENGTH.size + length
        if at > len(entry):
            raise ValueError("an entry is cut off")
        return str(entry[begin:at], "utf-8", "replace")

    output = text() if kind & _OUTPUT else ""
    note = json.loads(text()) if kind & 0x0F else {}
    if kind & 0x0F and (not isinstance(note, dict) or set(note) != _NOTES.get(kind & 0x0F)):
        raise ValueError("an entry whose note belongs to no outcome")
    sizes: list[int] = []
    if kind & _BUFFERS:
        (count,) = _LENGTH.unpack_from(entry, at)
        at += _LENGTH.size
        sizes = [_SIZE.unpack_from(entry, at + _SIZE.size * one)[0] for one in range(count)]
        at += _SIZE.size * count
    end = len(entry) - sum(sizes)
    if end < at:
        raise ValueError("an entry is shorter than its buffers")
    buffers = []
    for size in sizes:
        buffers.append(entry[end : end + size])
        end += size
    payload = entry[at : len(entry) - sum(sizes)]
    return PackedOutcome(index, _KINDS[kind & 0x0F], payload, buffers, seconds, output, note, task)


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeTable:
    """The outcomes of tasks, in the order of their job.

    Attributes:
        spans: Index of the first task and number of tasks, for each span of consecutive indexes.
        kinds: Kind of each entry.
        ends: Offset at which each entry ends.
        started: Seconds since the job began.
        seconds: Seconds that each task took.
        cpu: Seconds of CPU that each task took, 0 if not measured.
        peak: Largest MB of memory that its process had used by then, and the largest process that
            it had started; 0 if not measured.
        payload: The entries.
        identities: Digest of each task's content, in a named run. Empty otherwise.
    """

    spans: tuple[tuple[int, int], ...] = ()
    kinds: bytes = b""
    ends: array[int] = field(default_factory=lambda: array(OFFSET))
    started: array[float] = field(default_factory=lambda: array(MEASURE))
    seconds: array[float] = field(default_factory=lambda: array(MEASURE))
    cpu: array[float] = field(default_factory=lambda: array(MEASURE))
    peak: array[float] = field(default_factory=lambda: array(MEASURE))
    payload: memoryview | bytes = field(default=b"", repr=False)
    identities: tuple[str, ...] = ()

    @classmethod
    def from_outcomes(cls, outcomes: Sequence[PackedOutcome], started: float = 0.0) -> OutcomeTable:
        """Return a table of single outcomes. ``started`` is in seconds since the job began."""
        entries = [entry_of(outcome) for outcome in outcomes]
        payload = [b"".join(parts) for _, parts in entries]
        ends, end = array(OFFSET), 0
        for entry in payload:
            end += len(entry)
            ends.append(end)
        nothing: array[float] = array(MEASURE, [0.0] * len(entries))
        return cls(
            spans=spans_of(outcome.index for outcome in outcomes),
            kinds=bytes(kind for kind, _ in entries),
            ends=ends,
            started=array(MEASURE, [started] * len(entries)),
            seconds=array(MEASURE, [outcome.seconds for outcome in outcomes]),
            cpu=nothing,
            peak=nothing,
            payload=b"".join(payload),
            identities=tuple(outcome.task for outcome in outcomes if outcome.task),
        )

    @classmethod
    def joined(cls, tables: Sequence[OutcomeTable]) -> OutcomeTable:
        """Concatenate tables."""
        filled = [table for table in tables if len(table)]
        if len(filled) == 1:
            return filled[0]
        ends, end = array(OFFSET), 0
        for table in filled:
            ends.extend(one + end for one in table.ends)
            end += len(table.payload)
        columns: dict[str, Any] = {}
        for name in ("started", "seconds", "cpu", "peak"):
            columns[name] = array(MEASURE)
            for table in filled:
                columns[name].extend(getattr(table, name))
        return cls(
            spans=tuple(chain.from_iterable(table.spans for table in filled)),
            kinds=b"".join(table.kinds for table in filled),
            ends=ends,
            payload=b"".join(table.payload for table in filled),
            identities=tuple(chain.from_iterable(table.identities for table in filled)),
            **columns,
        )

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.kinds)

    def to_header(self) -> list[Any]:
        """Return the plain values that are not in the body."""
        return [self.spans, self.identities]

    def to_body(self) -> list[bytes | memoryview]:
        """Return the parts of the body."""
        columns = (self.ends, self.started, self.seconds, self.cpu, self.peak)
        return [self.kinds, *(column.tobytes() for column in columns), self.payload]

    @classmethod
    def from_parts(cls, header: Sequence[Any], reader: BodyReader) -> OutcomeTable:
        """Read what `to_header` and `to_body` wrote.

        Raises:
            ValueError: The body is malformed.
        """
        spans, identities = header
        count = sum(length for _, length in spans)
        kinds = bytes(reader.next(count))
        ends = reader.offsets(count)
        started, seconds, cpu, peak = reader.columns(MEASURE, count, 4)
        payload = reader.rest()
        if count and ends[-1] != len(payload):
            raise ValueError(f"{count} outcomes end at {ends[-1]} of {len(payload)} bytes")
        return cls(
            tuple((int(first), int(length)) for first, length in spans),
            kinds,
            ends,
            started,
            seconds,
            cpu,
            peak,
            payload,
            tuple(identities),
        )

    def values(self, start: int, stop: int) -> list[Any] | None:
        """Unpickle the values of tasks.

        Call it only on the content of a checked reply.

        Returns:
            The values. None unless all of these outcomes are values without output or a note.
        """
        if any(self.kinds[start:stop]):
            return None
        view, loads, begin = memoryview(self.payload), pickle.loads, self._begin(start)
        values: list[Any] = []
        append = values.append
        try:
            for end in self.ends[start:stop]:
                append(loads(view[begin:end]))
                begin = end
        except BaseException:  # noqa: BLE001 - a user's class may raise anything
            return None
        return values

    def outcome(self, position: int) -> PackedOutcome:
        """Return the outcome of one task. It is lost if a task has overwritten it."""
        entry = memoryview(self.payload)[self._begin(position) : self.ends[position]]
        task = self.identities[position] if self.identities else ""
        index = self._index(position)
        try:
            return outcome_of(entry, self.kinds[position], index, self.seconds[position], task)
        except (ValueError, IndexError, struct.error, RecursionError) as error:
            detail = f"the outcome of task {index} is malformed ({error})"
            lost = Lost(
                CRASHED, detail, "Check whether a task writes to memory that it does not own."
            )
            return PackedOutcome.from_lost(index, lost)

    def __getitem__(self, position: int) -> PackedOutcome:
        """Return the outcome of one task."""
        return self.outcome(range(len(self))[position])

    def __iter__(self) -> Iterator[PackedOutcome]:
        """Yield the outcome of each task."""
        return map(self.outcome, range(len(self)))

    def _begin(self, position: int) -> int:
        return self.ends[position - 1] if position else 0

    def _index(self, position: int) -> int:
        for first, length in self.spans:
            if position < length:
                return first + position
            position -= length
        raise IndexError(position)


def spans_of(indexes: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return the first index and the length of each span of consecutive indexes."""
    if isinstance(indexes, range) and indexes.step == 1:  # a job's, mostly
        return ((indexes.start, len(indexes)),) if indexes else ()
    spans: list[list[int]] = []
    for index in indexes:
        if spans and index == spans[-1][0] + spans[-1][1]:
            spans[-1][1] += 1
        else:
            spans.append([index, 1])
    return tuple((first, length) for first, length in spans)
