"""Conversion of calls to chunks.

**Input:** functions and their arguments. **Output:** `Chunk`s, whose blobs tasks share.

A function is pickled once and named by its digest. Large buffers are taken out of the pickle and
become blobs.
"""

from __future__ import annotations

import hashlib
import io
from array import array
from collections import Counter, OrderedDict
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from dolambda.errors import NotPicklableError
from dolambda.wire import pickling
from dolambda.wire.blob import Blob
from dolambda.wire.chunk import OFFSET, Chunk
from dolambda.wire.task import SHARED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

CHUNK_TASKS = 4096
"""Largest number of tasks in a chunk."""

CHUNK_BYTES = 1 << 20
"""Bytes of pickles at which a chunk ends. A single task may be larger."""

_MAX_SAME = 256  # functions whose pickle is kept because it does not change
_FIRST_CHUNK = 256  # tasks: the first are sent while the others are pickled
_SAMPLED = 512  # bytes of an array that are compared when the array is used again
_KNOWN, _KNOWN_BYTES = 1024, 1 << 30  # arrays that a run remembers, and so keeps alive


class Refused:
    """A task that cannot be sent, and the error that explains why."""

    __slots__ = ("error", "index")

    def __init__(self, index: int, error: NotPicklableError) -> None:
        """Refuse the task with this index."""
        self.index = index
        self.error = error


class Packer:
    """Pickler of tasks, which collects the blobs that they share.

    Attributes:
        same_buffers: As given.

    Args:
        same_buffers: True if a large array (`SHARED`) at a known address is taken to be unchanged.
            joblib assumes this within a Parallel call. An executor cannot: there each array is
            copied, so the content at submission is sent.
        same_functions: True if a function is pickled once for all calls of `pack`. Otherwise it is
            pickled once for each call, because what it refers to may change in between.
        salt: Returns what the identities of tasks depend on in addition to their content. It is
            called for each task, after its function was pickled. None: tasks have no identities.
    """

    def __init__(
        self,
        *,
        same_buffers: bool,
        same_functions: bool = False,
        salt: Callable[[], bytes] | None = None,
    ) -> None:
        self._salt = salt
        self._met: Counter[bytes] = Counter()
        self._same_functions = same_functions
        self._functions: dict[int, PackedFunction] = {}
        self._same: dict[int, PackedFunction] = {}  # functions whose pickle cannot have changed
        self.same_buffers = same_buffers
        self._known: OrderedDict[tuple[int, int], KnownBuffer] = OrderedDict()
        self._known_bytes = 0
        self._next_size = _FIRST_CHUNK  # tasks of the next chunk
        self._copies: WeakValueDictionary[str, Blob] = WeakValueDictionary()

    @property
    def identifies(self) -> bool:
        """True if tasks get identities."""
        return self._salt is not None

    def pack(
        self,
        function: Callable[..., Any],
        calls: Iterable[Any],
        first: int,
        *,
        keywords: bool = False,
    ) -> Iterator[Chunk | Refused]:
        """Pickle calls of one function.

        Args:
            function: The function to call.
            calls: The arguments of each call as a tuple, or ``(args, kwargs)`` with ``keywords``.
            first: Index of the first task.
            keywords: True if calls have keyword arguments.

        Yields:
            Chunks, in order, and a `Refused` in the place of each task that cannot be pickled.
        """
        functions = self._functions if self._same_functions else {}
        rest = iter(calls)
        while True:
            try:
                shared = self._shared(function, functions)
            except NotPicklableError as error:
                for index, _ in enumerate(rest, first):
                    yield Refused(index, error)
                return
            most = self._next_size
            chunk, refused = self._fill(shared, rest, first, most, keywords=keywords)
            if len(chunk):
                yield chunk
            first += len(chunk)
            if refused:
                yield Refused(first, refused)
                first += 1
            elif len(chunk) < most and len(chunk.payload) <= CHUNK_BYTES:
                return
            self._next_size = min(4 * most, CHUNK_TASKS)

    def pack_single(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        index: int,
    ) -> Single:
        """Pickle one call by itself."""
        call: Any = (args, kwargs) if kwargs else args
        try:
            shared = self._shared(function, self._functions if self._same_functions else {})
            payload, apart = pickling.dump_arguments(call, args, kwargs)
            if not apart and self._salt is None:
                return PlainCall(index, shared, bool(kwargs), payload)
            buffers = self._named_buffers(apart)
        except NotPicklableError as error:
            return Refused(index, error)
        digests = tuple(blob.digest for blob in buffers)
        identities: tuple[str, ...] = ()
        if self._salt is not None:
            identities = (self._identity(self._salt(), (shared.content, *digests), call, payload),)
        return Chunk(
            index,
            shared.blobs[0].digest,
            bool(kwargs),
            array(OFFSET, (len(payload),)),
            payload,
            {0: digests} if digests else {},
            {blob.digest: blob for blob in shared.blobs + buffers},
            identities,
        )

    def _fill(
        self,
        shared: PackedFunction,
        calls: Iterator[Any],
        first: int,
        most: int,
        *,
        keywords: bool,
    ) -> tuple[Chunk, NotPicklableError | None]:
        """Pickle calls until a chunk is full, or one of them cannot be pickled."""
        file = io.BytesIO()
        apart: list[memoryview] = []
        pickler = pickling.make_pickler(file, apart)
        dump, clear, tell = pickling.fast_dump(pickler), pickler.clear_memo, file.tell
        covered, salt = pickler.covered, self._salt
        ends = array(OFFSET)
        append, end = ends.append, 0
        buffers: dict[int, tuple[str, ...]] = {}
        blobs = {blob.digest: blob for blob in shared.blobs}
        identities: list[str] = []
        refused = None
        call: Any = ()
        try:
            for call in islice(calls, most):
                dump(call)
                clear()
                if covered:
                    covered.clear()  # each task carries the source lines of its own functions
                digests: tuple[str, ...] = ()
                if apart:
                    digests = buffers[len(ends)] = self._set_apart(apart, blobs)
                begin, end = end, tell()
                append(end)
                if salt is not None:
                    payload = file.getvalue()[begin:end]
                    content = (shared.content, *digests)
                    identities.append(self._identity(salt(), content, call, payload))
                if end > CHUNK_BYTES:
                    break
        except Exception as error:  # noqa: BLE001 - __reduce__ of any class may raise anything
            args, kwargs = call if keywords else (call, {})
            refused = pickling.call_not_picklable(args, kwargs, error)
        # Not getbuffer(), which Python 3.14 warns of when both are garbage. Neither copies.
        payloads = memoryview(file.getvalue())[: ends[-1] if ends else 0]
        known = tuple(identities[: len(ends)])
        function = shared.blobs[0].digest
        return Chunk(first, function, keywords, ends, payloads, buffers, blobs, known), refused

    def _set_apart(self, apart: list[memoryview], blobs: dict[str, Blob]) -> tuple[str, ...]:
        """Make blobs of a task's large buffers. Return their digests."""
        named = self._named_buffers(apart)
        blobs.update((blob.digest, blob) for blob in named)
        apart.clear()
        return tuple(blob.digest for blob in named)

    def _identity(
        self, salt: bytes, digests: tuple[str, ...], call: Any, payload: bytes | memoryview
    ) -> str:
        """Return a digest of a task's content, with a count that tells equal tasks apart."""
        content = hashlib.sha256(salt + "".join(digests).encode())
        content.update(pickling.content_of(call, payload))
        digest = content.digest()[:16]
        self._met[digest] += 1
        return f"{digest.hex()}-{self._met[digest]}"

    def _shared(
        self, function: Callable[..., Any], functions: dict[int, PackedFunction]
    ) -> PackedFunction:
        known = functions.get(id(function)) or self._same.get(id(function))
        if known is None or not (known.key is None or known.key == pickling.content_key(function)):
            known = functions[id(function)] = self._pack_function(function)
            by_name = len(known.blobs) == 1 and pickling.is_by_name(function, known.blobs[0].data)
            if by_name or known.key is not None:
                if len(self._same) >= _MAX_SAME:
                    self._same.clear()
                self._same[id(function)] = known
        return known

    def _pack_function(self, function: Callable[..., Any]) -> PackedFunction:
        """Pickle a function. Its blob begins with the digests of the arrays that it closes over."""
        name = f"the function {getattr(function, '__qualname__', function)!s}"
        payload, apart = pickling.dump(function, name)
        buffers = self._named_buffers(apart)
        digests = [bytes.fromhex(blob.digest) for blob in buffers]
        head = b"".join([len(digests).to_bytes(4, "big"), *digests])
        content = ""
        if self._salt is not None:
            named = pickling.content_of(function, payload)
            content = hashlib.sha256(head + bytes(named)).hexdigest()
        key = pickling.content_key(function)
        return PackedFunction(function, (Blob.from_bytes(head + payload), *buffers), content, key)

    def _named_buffers(self, apart: list[memoryview]) -> tuple[Blob, ...]:
        return tuple(self._pack_buffer(view) for view in apart) if apart else ()

    def forget_buffers(self) -> None:
        """Check every array again: the content at a known address may have changed."""
        self._known.clear()
        self._known_bytes = 0

    def _pack_buffer(self, view: memoryview) -> Blob:
        place = getattr(view.obj, "__array_interface__", {}).get("data")
        if not (self.same_buffers and place and view.nbytes > SHARED):
            return self._copied(view)
        at = (place[0], view.nbytes)
        known = self._known.get(at)
        if known and _sample(known.view) == known.sample:
            self._known.move_to_end(at)
            return known.blob
        if known:  # it has been filled with other content
            self._known_bytes -= known.view.nbytes
        blob = self._copied(view)
        self._known[at] = KnownBuffer(view, _sample(memoryview(blob.data)), blob)
        self._known_bytes += view.nbytes
        while len(self._known) > 1 and (
            self._known_bytes > _KNOWN_BYTES or len(self._known) > _KNOWN
        ):
            self._known_bytes -= self._known.popitem(last=False)[1].view.nbytes
        return blob

    def _copied(self, view: memoryview) -> Blob:
        """Return a copy of a buffer, or the existing copy with the same content.

        A new copy is hashed itself, because another thread may write to the array in between.
        """
        held = self._copies.get(Blob.from_bytes(view).digest)
        if held is None:
            copy = Blob.from_bytes(bytes(view))
            held = self._copies.setdefault(copy.digest, copy)
        return held


class PlainCall:
    """A single call that consists of its pickle alone."""

    __slots__ = ("index", "keywords", "payload", "shared")

    def __init__(
        self,
        index: int,
        shared: PackedFunction,
        keywords: bool,  # noqa: FBT001 - made for each call of `submit`: by position is faster
        payload: bytes,
    ) -> None:
        """See `Chunk`."""
        self.index = index
        self.shared = shared
        self.keywords = keywords
        self.payload = payload


Single = PlainCall | Chunk | Refused


def joined_singles(singles: Sequence[Single]) -> Iterator[Chunk | Refused]:
    """Join plain calls of one function. Yield everything else unchanged."""
    group: list[PlainCall] = []
    nbytes = 0
    for single in singles:
        plain = isinstance(single, PlainCall)
        fits = len(group) < CHUNK_TASKS and nbytes < CHUNK_BYTES
        if group and not (plain and fits and _alike(group[-1], single)):
            yield _chunk_of(group)
            group, nbytes = [], 0
        if isinstance(single, PlainCall):
            group.append(single)
            nbytes += len(single.payload)
        else:
            yield single
    if group:
        yield _chunk_of(group)


def _alike(before: PlainCall, single: Any) -> bool:
    same: bool = before.shared.blobs[0].digest == single.shared.blobs[0].digest
    return same and bool(before.keywords == single.keywords)


def _chunk_of(calls: list[PlainCall]) -> Chunk:
    ends = array(OFFSET, accumulate([len(call.payload) for call in calls]))
    payload = b"".join([call.payload for call in calls])
    shared = calls[0].shared.blobs
    blobs = {blob.digest: blob for blob in shared}
    return Chunk(calls[0].index, shared[0].digest, calls[0].keywords, ends, payload, blobs=blobs)


@dataclass(frozen=True, slots=True)
class PackedFunction:
    """A function that was pickled.

    Attributes:
        function: The function. It is kept alive while its id is the key of this entry.
        blobs: Its own blob, then those of the arrays in its closure.
        content: Digest of its content, in a named run.
        key: Its content key when it was pickled, see `pickling.content_key`.
    """

    function: Callable[..., Any]
    blobs: tuple[Blob, ...]
    content: str
    key: tuple[object, ...] | None = None


@dataclass(frozen=True, slots=True)
class KnownBuffer:
    """A known array: the user's own memory, a sample of its content, and a copy of it.

    The view keeps the address from being used for another array.
    """

    view: memoryview
    sample: bytes
    blob: Blob


def _sample(view: memoryview) -> bytes:
    """Return some bytes from all parts of a buffer.

    The step is odd, so the sample includes all parts of the items.
    """
    step = view.nbytes // _SAMPLED | 1
    return bytes(view[::step]) + bytes(view[-8:])
