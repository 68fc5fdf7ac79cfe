"""The memory into which a worker's child writes the outcomes of its tasks.

    RegionWriter   shared memory, made before the fork: committed outcomes outlive the child
    MemoryWriter   this process's own memory, if tasks run in the client itself

The region, for one job at a time:

    nonce | committed | restless | columns, one slot for each task             | entries
    16      8           8          ends, kinds, started, seconds, cpu, peak      the rest

An outcome counts once ``committed`` includes it, which is written last. The parent reads the region
when the child has ended or reports that it is done. It checks nonce and bounds, and trusts nothing
else in the region. ``restless`` is not 0 once tasks have left threads, which may end the child
later.

**Input:** kinds, entries and measures. **Output:** `OutcomeTable`s.
"""

from __future__ import annotations

import mmap
from array import array
from operator import le
from typing import TYPE_CHECKING, Protocol

from dolambda.wire.chunk import OFFSET
from dolambda.wire.outcome_table import MEASURE, VALUE, OutcomeTable, spans_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TASKS = 16_384
"""Largest number of outcomes in the region at a time."""

REGION_BYTES = 16 << 20
"""Size of the region. Memory is used only as far as it is written to."""

_NONCE = 16
_COUNT = 8
_MEASURES = 4
_RESTLESS_AT = _NONCE + _COUNT
_COLUMNS_AT = _RESTLESS_AT + _COUNT
_ENTRIES_AT = _COLUMNS_AT + MAX_TASKS * (8 + _MEASURES * 4 + 1)


class OutcomeWriter(Protocol):
    """Writer of outcomes in the order of the tasks."""

    def add(
        self, kind: int, entry: bytes, started: float, seconds: float, cpu: float, peak: float
    ) -> bool:
        """Add an outcome. Return False, and add nothing, if there is no room for it."""
        ...

    def add_short_value(self, entry: bytes, started: float, seconds: float) -> bool:
        """Add a plain value of a task whose CPU and memory were not measured, as `add` does."""
        ...


class Region:
    """The shared memory itself. Both sides of the fork have it."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, REGION_BYTES)
        self.view = memoryview(self.memory)
        columns = self.view[_COLUMNS_AT:_ENTRIES_AT]
        at = 8 * MAX_TASKS
        self.ends = columns[:at].cast(OFFSET)
        self.measures: list[memoryview[float]] = []
        for _ in range(_MEASURES):
            self.measures.append(columns[at : at + 4 * MAX_TASKS].cast(MEASURE))
            at += 4 * MAX_TASKS
        self.kinds = columns[at : at + MAX_TASKS]
        self.entries = self.view[_ENTRIES_AT:]
        self.committed = self.view[_NONCE:_RESTLESS_AT].cast(OFFSET)
        self.restless = self.view[_RESTLESS_AT:_COLUMNS_AT].cast(OFFSET)

    def reset(self, nonce: bytes, used: int = 0) -> None:
        """Remove all outcomes, and accept those of the attempt with this nonce.

        ``used`` is the number of slots that were written to. `RegionWriter.add_short_value` relies
        on zeros in the columns of what it does not write.
        """
        self.committed[0] = 0
        self.kinds[:used] = bytes(used)
        for column in self.measures[2:]:
            column[:used] = array(MEASURE, bytes(4 * used))
        self.view[:_NONCE] = nonce[:_NONCE].ljust(_NONCE, b"\0")

    def table(self, nonce: bytes, indexes: Sequence[int]) -> OutcomeTable:
        """Return a copy of what is committed, for the first of the tasks with these indexes."""
        count = min(self.committed[0], len(indexes), MAX_TASKS)
        if bytes(self.view[:_NONCE]) != nonce[:_NONCE].ljust(_NONCE, b"\0"):
            count = 0
        ends = array(OFFSET, self.ends[:count].tobytes())
        count = _credible(ends, len(self.entries))  # a task may have overwritten them
        ends = ends[:count]
        started, seconds, cpu, peak = (
            array(MEASURE, column[:count].tobytes()) for column in self.measures
        )
        return OutcomeTable(
            spans_of(indexes[:count]),
            bytes(self.kinds[:count]),
            ends,
            started,
            seconds,
            cpu,
            peak,
            bytes(self.entries[: ends[-1] if count else 0]),
        )


def _credible(ends: array[int], most: int) -> int:
    """Return how many offsets, from the first one on, are in order and at most ``most``."""
    if not ends or (ends[-1] <= most and all(map(le, ends, ends[1:]))):
        return len(ends)
    last = 0
    for position, end in enumerate(ends):
        if not last <= end <= most:
            return position
        last = end
    return len(ends)


class RegionWriter:
    """The child's side of a `Region`."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._started, self._seconds, *_ = region.measures
        self._most = len(region.entries)
        self._count = MAX_TASKS  # an earlier child may have written to all slots
        self._end = 0

    @property
    def count(self) -> int:
        """Number of outcomes in the region."""
        return self._count

    def note_restless(self) -> None:
        """Note that tasks have left what may end this process later."""
        self._region.restless[0] = 1

    def begin(self, nonce: bytes) -> None:
        """Start with an empty region, for outcomes of this attempt."""
        self._region.reset(nonce, self._count)
        self._count = self._end = 0

    def add(
        self, kind: int, entry: bytes, started: float, seconds: float, cpu: float, peak: float
    ) -> bool:
        """See `OutcomeWriter`."""
        region, count = self._region, self._count
        end = self._end + len(entry)
        if end > self._most or count >= MAX_TASKS:
            return False
        region.entries[self._end : end] = entry
        region.ends[count] = end
        region.kinds[count] = kind
        measures = region.measures
        measures[0][count] = started
        measures[1][count] = seconds
        measures[2][count] = cpu
        measures[3][count] = peak
        self._end = end
        self._count = region.committed[0] = count + 1
        return True

    def add_short_value(self, entry: bytes, started: float, seconds: float) -> bool:
        """See `OutcomeWriter`."""
        region, count, begin = self._region, self._count, self._end
        end = begin + len(entry)
        if end > self._most or count >= MAX_TASKS:
            return False
        region.entries[begin:end] = entry
        region.ends[count] = end
        self._started[count] = started
        self._seconds[count] = seconds
        self._end = end
        self._count = region.committed[0] = count + 1
        return True


class MemoryWriter:
    """Outcomes in this process's own memory, without a limit."""

    def __init__(self) -> None:
        self._kinds = bytearray()
        self._ends = array(OFFSET)
        self._measures: list[array[float]] = [array(MEASURE) for _ in range(_MEASURES)]
        self._entries: list[bytes] = []
        self._end = 0

    def add(
        self, kind: int, entry: bytes, started: float, seconds: float, cpu: float, peak: float
    ) -> bool:
        """See `OutcomeWriter`."""
        self._end += len(entry)
        self._entries.append(entry)
        self._ends.append(self._end)
        self._kinds.append(kind)
        for column, measure in zip(self._measures, (started, seconds, cpu, peak), strict=True):
            column.append(measure)
        return True

    def add_short_value(self, entry: bytes, started: float, seconds: float) -> bool:
        """See `OutcomeWriter`."""
        return self.add(VALUE, entry, started, seconds, 0.0, 0.0)

    def table(self, indexes: Sequence[int]) -> OutcomeTable:
        """Return all outcomes, those of the tasks with these indexes."""
        started, seconds, cpu, peak = self._measures
        return OutcomeTable(
            spans_of(indexes[: len(self._kinds)]),
            bytes(self._kinds),
            self._ends,
            started,
            seconds,
            cpu,
            peak,
            b"".join(self._entries),
        )
