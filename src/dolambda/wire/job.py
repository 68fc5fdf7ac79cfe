"""The tasks of one invocation.

**Input:** parts of chunks. **Output:** `Job`, sealed and opened again.

    header   run, number, attempt, where it belongs (stack, region, function), language,
             limits, context, and what follows in the body
    body     | small blobs | of each part: ends, pickles |

The worker opens a job without unpickling anything.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from dolambda.wire import envelope
from dolambda.wire.chunk import OFFSET, Chunk, ChunkPart
from dolambda.wire.task import PYTHON, TaskContext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Place:
    """The place where a job may run: a stack, its region, and one of its functions (two digits)."""

    stack: str = ""
    region: str = ""
    function: str = "00"

    def to_header(self) -> list[str]:
        """Return the place as plain values."""
        return [self.stack, self.region, self.function]

    def takes(self, job: Place) -> bool:
        """Return whether a worker at this place may run a job for ``job``.

        Empty names match any.
        """
        pairs = zip(self.to_header(), job.to_header(), strict=True)
        return all(not (mine and other) or mine == other for mine, other in pairs)

    def __str__(self) -> str:
        """Return the place's name for a message."""
        stack = f"stack {self.stack!r}" if self.stack else "any stack"
        return f"{stack} in {self.region or 'any region'}, function {self.function or 'any'}"


ANYWHERE = Place(function="")
"""Any stack, any region, any function: the place of a worker in a test."""


@dataclass(frozen=True, slots=True)
class Job:
    """Parts of chunks for one invocation.

    Attributes:
        run: Name of the run.
        number: Number of the job in the run.
        attempt: Number of times it has been sent, including this one.
        deadline: Seconds since the epoch. After it no worker begins the job, so an event that is
            delivered late costs nothing.
        parts: The tasks.
        inline: Small blobs that travel in the job, by digest.
        task_timeout: Seconds for each task. None for as long as the function may run.
        code: Digest of the archive of the user's own modules. None if there are none.
        context: Surroundings of the tasks on the worker.
        place: Where it may run. A worker at another place refuses it.
        python: Minor version of the Python that pickled it.
        part_interval: Shortest pause in seconds between two parts of what its tasks print, see
            `OutputPart`. None: what they print is in the reply alone.
    """

    run: str
    number: int
    attempt: int
    deadline: float
    parts: tuple[ChunkPart, ...]
    inline: Mapping[str, bytes | memoryview] = field(default_factory=dict, repr=False)
    task_timeout: float | None = None
    code: str | None = None
    context: TaskContext = field(default_factory=TaskContext)
    place: Place = field(default_factory=Place)
    python: str = PYTHON
    part_interval: float | None = None

    def __len__(self) -> int:
        """Return the number of tasks."""
        return sum(map(len, self.parts))

    def rest(self, done: int) -> Job:
        """Return the job without its first ``done`` tasks."""
        parts: list[ChunkPart] = []
        for part in self.parts:
            if done < len(part):
                parts.append(part.split(done)[1] if done else part)
            done = max(0, done - len(part))
        return replace(self, parts=tuple(parts))

    def indexes(self) -> Sequence[int]:
        """Return the index of each task, in the order of the job."""
        ranges = [range(part.first, part.first + len(part)) for part in self.parts]
        return ranges[0] if len(ranges) == 1 else list(chain.from_iterable(ranges))

    def to_bytes(self, key: bytes, common: str | None = None) -> bytes:
        """Return the job sealed with ``key``.

        ``common`` is the `common_header` of another job of the same run, if that is at hand.
        """
        header, body = self._own_header(), self._body()
        return envelope.seal("job", header, body, key, common or self.common_header())

    def to_plain(self) -> list[bytes | memoryview]:
        """Return the parts of the job's bytes without signature, for `from_plain`."""
        return envelope.plain({**self._common(), **self._own_header()}, self._body())

    def common_header(self) -> str:
        """Return the part of the header that jobs of a run with the same ``code`` share."""
        return envelope.encoded(self._common())

    def _common(self) -> dict[str, Any]:
        return {
            "python": self.python,
            "place": self.place.to_header(),
            "run": self.run,
            "task_timeout": self.task_timeout,
            "code": self.code,
            "context": self.context.to_header(),
        }

    def _own_header(self) -> dict[str, Any]:
        digests = sorted({digest for part in self.parts for digest in _digests(part)})
        place = {digest: at for at, digest in enumerate(digests)}
        return {
            "job": self.number,
            "attempt": self.attempt,
            "deadline": self.deadline,
            "blobs": digests,
            "part_interval": self.part_interval,
            "inline": [[digest, len(data)] for digest, data in self.inline.items()],
            "parts": [_part_to_header(part, place) for part in self.parts],
        }

    def _body(self) -> list[bytes | memoryview]:
        body = [*self.inline.values()]
        for part in self.parts:
            body += [part.ends.tobytes(), part.payload]
        return body

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, key: bytes) -> Job:
        """Check and open a sealed job, without unpickling anything.

        Raises:
            EnvelopeError: The bytes are not a job that is signed with ``key``.
        """
        with envelope.making_sense("job"):
            return cls._from_parts(*envelope.unseal("job", data, key))

    @classmethod
    def from_plain(cls, data: bytes | memoryview) -> Job:
        """Open a job that a process of one's own has checked before."""
        return cls._from_parts(*envelope.from_plain(data))

    @classmethod
    def _from_parts(cls, header: dict[str, Any], body: memoryview) -> Job:
        reader = BodyReader(body)
        digests = header["blobs"]
        inline = {digest: reader.next(length) for digest, length in header["inline"]}
        return cls(
            run=header["run"],
            number=header["job"],
            attempt=header["attempt"],
            deadline=header["deadline"],
            parts=tuple(_part_from(part, digests, reader) for part in header["parts"]),
            inline=inline,
            task_timeout=header["task_timeout"],
            code=header["code"],
            context=TaskContext(**header["context"]),
            place=Place(*header["place"]),
            python=header["python"],
            part_interval=header.get("part_interval"),  # clients before it do not name it
        )


def _digests(part: ChunkPart) -> list[str]:
    return [part.chunk.function, *(one for named in part.buffers.values() for one in named)]


def _part_to_header(part: ChunkPart, place: Mapping[str, int]) -> list[Any]:
    buffers = [[at, [place[digest] for digest in named]] for at, named in part.buffers.items()]
    function = place[part.chunk.function]
    keywords = int(part.chunk.keywords)
    return [part.first, len(part), function, keywords, part.nbytes, buffers, part.identities]


def _part_from(header: Sequence[Any], digests: Sequence[str], reader: BodyReader) -> ChunkPart:
    first, count, function, keywords, nbytes, buffers, identities = header
    ends = reader.offsets(count)
    if count and ends[-1] != nbytes:
        raise ValueError(f"{count} pickles end at {ends[-1]} of {nbytes} bytes")
    chunk = Chunk(
        first=first,
        function=digests[function],
        keywords=bool(keywords),
        ends=ends,
        payload=reader.next(nbytes),
        buffers={at: tuple(digests[one] for one in named) for at, named in buffers},
        identities=tuple(identities),
    )
    return ChunkPart(chunk, 0, count)


class BodyReader:
    """Reader of a body, piece by piece. Raises ValueError for an incomplete piece."""

    def __init__(self, body: memoryview) -> None:
        """Start at the beginning of ``body``."""
        self._body = body
        self._at = 0

    def next(self, length: int) -> memoryview:
        """Return the next ``length`` bytes."""
        begin, self._at = self._at, self._at + length
        if length < 0 or self._at > len(self._body):
            raise ValueError(f"{length} bytes at {begin} of {len(self._body)}")
        return self._body[begin : self._at]

    def offsets(self, count: int) -> array[int]:
        """Return the next ``count`` offsets, which never decrease."""
        return self.column(OFFSET, count)

    def column(self, code: str, count: int) -> array[Any]:
        """Return the next ``count`` numbers of type ``code``, see `array`."""
        column = array(code)
        begin, self._at = self._at, self._at + count * column.itemsize
        if count < 0 or self._at > len(self._body):
            raise ValueError(f"{count} numbers at {begin} of {len(self._body)}")
        column.frombytes(self._body[begin : self._at])
        return column

    def columns(self, code: str, count: int, number: int) -> list[array[Any]]:
        """Return the next ``number`` columns of ``count`` numbers each, see `column`."""
        every = self.column(code, count * number)
        return [every[place * count : (place + 1) * count] for place in range(number)]

    def rest(self) -> memoryview:
        """Return the remaining bytes."""
        return self.next(len(self._body) - self._at)
