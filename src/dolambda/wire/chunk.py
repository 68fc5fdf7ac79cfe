"""Tasks of one function, as one buffer of independent pickles and a table of their ends.

**Input:** pickles, one after the other. **Output:** `Chunk`, and `ChunkPart`s of it that travel in
a job.

    payload   | pickle of task 0 | pickle of task 1 | pickle of task 2 | ...
    ends                        ^                  ^                  ^

Each pickle is complete by itself: tasks share no objects. So a part of a chunk can be sent alone,
sent again or bisected without pickling anything twice.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dolambda.wire.blob import Blob

OFFSET: Literal["Q"] = "Q"
"""Type code of the offsets: unsigned, 8 bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Tasks of one function that were pickled together.

    Attributes:
        first: Index of the first task. The others follow it without a gap.
        function: Digest of the pickled function.
        keywords: True if each pickle holds ``(args, kwargs)``, False if it holds ``args`` alone.
        ends: Offset in ``payload`` at which each task's pickle ends.
        payload: The pickles.
        buffers: Digests of the large buffers that are kept outside a task's pickle, by position in
            the chunk.
        blobs: The blobs that the digests name: the function, the objects in its closure, and the
            buffers. Only the sending side has them.
        identities: Digest of each task's content, in a named run. Empty otherwise.
    """

    first: int
    function: str
    keywords: bool
    ends: array[int]
    payload: memoryview | bytes = field(repr=False)
    buffers: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    blobs: Mapping[str, Blob] = field(default_factory=dict, repr=False)
    identities: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.ends)

    def begin(self, position: int) -> int:
        """Return the offset at which the pickle of the task at ``position`` begins."""
        return self.ends[position - 1] if position else 0

    def nbytes(self, start: int, stop: int) -> int:
        """Return the number of bytes of the pickles from ``start`` to ``stop``."""
        return self.begin(stop) - self.begin(start)

    def pickle_of(self, position: int) -> memoryview:
        """Return the pickle of one task."""
        return memoryview(self.payload)[self.begin(position) : self.ends[position]]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkPart:
    """The tasks of a chunk from position ``start`` to before position ``stop``."""

    chunk: Chunk
    start: int
    stop: int

    def __len__(self) -> int:
        """Return the number of tasks."""
        return self.stop - self.start

    @property
    def first(self) -> int:
        """Index of the first task."""
        return self.chunk.first + self.start

    @property
    def nbytes(self) -> int:
        """Bytes of the pickles."""
        return self.chunk.nbytes(self.start, self.stop)

    @property
    def payload(self) -> memoryview:
        """The pickles."""
        return memoryview(self.chunk.payload)[
            self.chunk.begin(self.start) : self.chunk.begin(self.stop)
        ]

    @property
    def ends(self) -> array[int]:
        """The offsets at which the pickles end, counted from where the first begins."""
        begin = self.chunk.begin(self.start)
        ends = self.chunk.ends[self.start : self.stop]
        return array(OFFSET, [end - begin for end in ends]) if begin else ends

    @property
    def buffers(self) -> dict[int, tuple[str, ...]]:
        """Digests of the large buffers, by position in this part."""
        every = self.chunk.buffers
        if not every:
            return {}
        return {at - self.start: every[at] for at in range(self.start, self.stop) if at in every}

    @property
    def digests(self) -> tuple[str, ...]:
        """Digests of the blobs that the tasks need, each once."""
        blobs = self.chunk.blobs
        if not self.chunk.buffers or len(self) == len(self.chunk):
            return tuple(blobs)
        elsewhere = {one for digests in self.chunk.buffers.values() for one in digests}
        needed = {one for digests in self.buffers.values() for one in digests}
        return tuple(one for one in blobs if one in needed or one not in elsewhere)

    @property
    def identities(self) -> tuple[str, ...]:
        """Digest of each task's content, in a named run. Empty otherwise."""
        return self.chunk.identities[self.start : self.stop]

    def split(self, position: int) -> tuple[ChunkPart, ChunkPart]:
        """Return the part before ``position`` and the part from it on."""
        middle = self.start + position
        return ChunkPart(self.chunk, self.start, middle), ChunkPart(self.chunk, middle, self.stop)


def joined(parts: Sequence[ChunkPart]) -> tuple[ChunkPart, ...]:
    """Join parts whose tasks follow each other and call the same function.

    Calls of `submit` are chunks of one task each. Joined, they are opened as fast as one chunk.
    """
    groups: list[list[ChunkPart]] = []
    for part in parts:
        if groups and _continues(groups[-1][-1], part):
            groups[-1].append(part)
        else:
            groups.append([part])
    return tuple(group[0] if len(group) == 1 else _one_part(group) for group in groups)


def _continues(before: ChunkPart, part: ChunkPart) -> bool:
    return (
        before.chunk.function == part.chunk.function
        and before.chunk.keywords == part.chunk.keywords
        and before.chunk.first + before.stop == part.chunk.first + part.start
    )


def _one_part(parts: list[ChunkPart]) -> ChunkPart:
    ends, end = array(OFFSET), 0
    buffers: dict[int, tuple[str, ...]] = {}
    identities: list[str] = []
    for part in parts:
        for position, digests in part.buffers.items():
            buffers[len(ends) + position] = digests
        ends.extend(one + end for one in part.ends)
        end += part.nbytes
        identities += part.identities
    payload = b"".join([part.payload for part in parts])
    chunk = parts[0].chunk
    whole = Chunk(
        parts[0].first,
        chunk.function,
        chunk.keywords,
        ends,
        payload,
        buffers,
        identities=tuple(identities),
    )
    return ChunkPart(whole, 0, len(ends))
