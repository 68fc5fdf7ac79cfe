"""What goes out.

Each state of a task has its own class:

    Task        a call, as the user wrote it                     index, function, arguments
    PackedTask  pickled; what is shared named by digest          index, digests, payload
    Job         the packed tasks that one invocation runs        one object under jobs/

`Packer` takes the first to the second; `Job.to_bytes` and `Job.from_bytes` take the third over the wire.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from dolambda.errors import NotPicklableError
from dolambda.wire import envelope, pickling
from dolambda.wire.blob import Blob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""This interpreter's minor version: pickles of code only load where they were made."""

INLINE = 8 * 1024
"""Functions up to this many bytes travel inside every job: one request less before it can start."""

INLINE_ONCE = 64 * 1024
"""Arrays up to this many travel inside a job until another needs them too: what tasks share is worth an object, what one has is not."""

SHARED = 1 << 20
"""Arrays of more bytes are shared by the tasks of a worker, read-only; joblib's tasks also have them
hashed once for each call of a Parallel, unless a sample shows a change. joblib's own
``max_nbytes``, from which on it maps arrays into its processes' memory."""

_KNOWN, _KNOWN_BYTES = 1024, 1 << 30  # arrays remembered, and so kept alive, for a run
_SAMPLED = 512  # bytes of an array that are compared when it is met again


@dataclass(frozen=True, slots=True)
class Task:
    """One call: function, arguments, index."""

    index: int
    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PackedTask:
    """A task whose function and large buffers are named by digest. ``blobs`` holds them, on the sending side."""

    index: int
    function: str
    payload: bytes | memoryview = field(repr=False)
    buffers: tuple[str, ...] = ()
    blobs: tuple[Blob, ...] = field(default=(), repr=False)
    identity: str = ""
    """What it is by content, in a named run; see `dispatch.stored`."""

    @property
    def nbytes(self) -> int:
        """Size of the payload in bytes, blobs not counted."""
        return len(self.payload)


class Packer:
    """Pickles tasks and gathers the blobs they share.

    Every array is copied, so that what is sent under a digest is what was hashed, and what it held
    when the task was submitted. With ``same_buffers`` a large array (`SHARED`) met again at the same
    address, a sample of which is unchanged, is taken to be unchanged: it is neither hashed nor
    copied again. joblib assumes that of a Parallel call, and an executor must not. With ``same_functions`` a
    function is pickled once, else once for each `pack`: it may refer to what changes in between.
    With a ``salt`` tasks get identities, which depend on it: it is asked for each task, once its function is pickled.
    """

    def __init__(
        self,
        *,
        same_buffers: bool,
        same_functions: bool = False,
        salt: Callable[[], bytes] | None = None,
    ) -> None:
        """What does not change while this packer lives."""
        self._salt = salt
        self._met: Counter[bytes] = Counter()
        self._same_functions = same_functions
        self._functions: dict[int, tuple[Callable[..., Any], tuple[Blob, ...], str]] = {}
        self._same_buffers = same_buffers
        self._known: OrderedDict[tuple[int, int], KnownBuffer] = OrderedDict()
        self._known_bytes = 0
        self._copies: WeakValueDictionary[str, Blob] = WeakValueDictionary()

    def pack(self, tasks: Iterable[Task]) -> Iterator[PackedTask | NotPicklableError]:
        """Pickle each task, and each function once; an error in the place of what cannot be pickled."""
        functions = self._functions if self._same_functions else {}
        for task in tasks:
            try:
                _, shared, named = functions.get(id(task.function)) or functions.setdefault(
                    id(task.function), (task.function, *self._pack_function(task.function))
                )
                payload, apart = pickling.dump_call(task.args, task.kwargs)
            except NotPicklableError as error:
                yield error
            else:
                buffers = tuple(self._pack_buffer(view) for view in apart) if apart else ()
                digests = tuple(blob.digest for blob in buffers) if apart else ()
                identity = (
                    ""
                    if self._salt is None
                    else self._identity(
                        self._salt(),
                        (named, *digests),
                        pickling.content_of((task.args, task.kwargs), payload),
                    )
                )
                yield PackedTask(
                    task.index,
                    shared[0].digest,
                    payload,
                    digests,
                    shared + buffers if apart else shared,
                    identity,
                )

    def _identity(self, salt: bytes, digests: tuple[str, ...], payload: bytes | memoryview) -> str:
        """Digest of all that a task is, and which of several such it is."""
        content = hashlib.sha256(salt + "".join(digests).encode())
        content.update(payload)
        digest = content.digest()[:16]
        self._met[digest] += 1
        return f"{digest.hex()}-{self._met[digest]}"

    def _pack_function(self, function: Callable[..., Any]) -> tuple[tuple[Blob, ...], str]:
        """Pickle a function; return its blobs, and with a salt the digest of what it is by content.

        Its own blob comes first, then those of the arrays it closes over, whose digests begin the first.
        """
        payload, apart = pickling.dump(
            function, f"the function {getattr(function, '__qualname__', function)!s}"
        )
        buffers = [self._pack_buffer(view) for view in apart]
        digests = [bytes.fromhex(blob.digest) for blob in buffers]
        head = b"".join([len(digests).to_bytes(4, "big"), *digests])
        blob = Blob.from_bytes(head + payload)
        named = ""
        if self._salt is not None:
            content = pickling.content_of(function, payload)
            named = hashlib.sha256(head + bytes(content)).hexdigest()
        return (blob, *buffers), named

    def forget_buffers(self) -> None:
        """Look at every array again from here on: what is at a known address may have changed."""
        self._known.clear()
        self._known_bytes = 0

    def _pack_buffer(self, view: memoryview) -> Blob:
        place = getattr(view.obj, "__array_interface__", {}).get("data")
        if not (self._same_buffers and place and view.nbytes > SHARED):
            return self._copied(view)
        at = (place[0], view.nbytes)
        known = self._known.get(at)
        if known and _sample(known.view) == known.sample:
            self._known.move_to_end(at)
            return known.blob
        if known:  # it was filled with something else since
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
        """A copy, or the one there is of the same content among the tasks that wait.

        A new copy is hashed itself: another thread may write to the array between the two.
        """
        held = self._copies.get(Blob.from_bytes(view).digest)
        if held is None:
            copy = Blob.from_bytes(bytes(view))
            held = self._copies.setdefault(copy.digest, copy)
        return held


@dataclass(frozen=True, slots=True)
class KnownBuffer:
    """An array met before: the user's own memory, a sample of what it held, and a copy of it.

    The view keeps the address from being used for another array.
    """

    view: memoryview
    sample: bytes
    blob: Blob


def _sample(view: memoryview) -> bytes:
    """Some bytes of all parts of a buffer. The step is odd: they are of all parts of its items."""
    step = view.nbytes // _SAMPLED | 1
    return bytes(view[::step]) + bytes(view[-8:])


def split_function(blob: memoryview) -> tuple[list[str], memoryview]:
    """Digests of the arrays that a packed function closes over, and its pickle."""
    count, size = int.from_bytes(blob[:4], "big"), 32
    ends = [4 + size * place for place in range(count + 1)]
    return [bytes(blob[end : end + size]).hex() for end in ends[:-1]], blob[ends[-1] :]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What tasks find around them on the worker.

    ``nesting``: joblib's nesting level, for Parallel calls within tasks; None outside joblib. ``threads``: of BLAS, OpenMP and the
    like; None for as many as the worker has processors. ``log_level``: of the root logger, as it is here.
    ``env``: environment variables, set before anything of the user's is loaded; they may be secret.
    ``language``: of the tasks; a child that runs those of one language runs none of another.
    """

    nesting: int | None = None
    threads: int | None = None
    log_level: int = 30
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    language: str = "python"

    def to_header(self) -> dict[str, object]:
        """As keyword arguments of its class. By hand: dataclasses.asdict takes as long as sealing the job."""
        header: dict[str, object] = {
            "nesting": self.nesting,
            "threads": self.threads,
            "log_level": self.log_level,
        }
        if self.env:
            header["env"] = dict(self.env)
        if self.language != "python":
            header["language"] = self.language
        return header


@dataclass(frozen=True, slots=True)
class Job:
    """A batch of tasks for one invocation.

    ``deadline`` is in seconds since the epoch: a worker does not begin a job after it, so that an event delivered late
    costs nothing. ``task_timeout`` is in seconds, None for as long as the function may run. ``code`` names the bundle of
    the user's own modules. ``inline`` holds the small blobs, by digest.
    """

    run: str
    number: int
    attempt: int
    deadline: float
    tasks: tuple[PackedTask, ...]
    inline: Mapping[str, bytes | memoryview] = field(default_factory=dict, repr=False)
    task_timeout: float | None = None
    code: str | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)
    python: str = PYTHON

    def to_bytes(self, key: bytes) -> bytes:
        """Seal for the wire."""
        digests = sorted(
            {digest for task in self.tasks for digest in (task.function, *task.buffers)}
        )
        place = {digest: at for at, digest in enumerate(digests)}
        header = {
            "python": self.python,
            "run": self.run,
            "job": self.number,
            "attempt": self.attempt,
            "deadline": self.deadline,
            "task_timeout": self.task_timeout,
            "code": self.code,
            "surroundings": self.surroundings.to_header(),
            "blobs": digests,
            "inline": [[digest, len(data)] for digest, data in self.inline.items()],
            "tasks": [
                [
                    task.index,
                    place[task.function],
                    len(task.payload),
                    [place[digest] for digest in task.buffers],
                    task.identity,
                ]
                for task in self.tasks
            ],
        }
        return envelope.seal(
            "job", header, [*self.inline.values(), *(task.payload for task in self.tasks)], key
        )

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, key: bytes) -> Job:
        """Check and open; nothing is unpickled. Raises `EnvelopeError`."""
        with envelope.making_sense("job"):
            header, body = envelope.unseal("job", data, key)
            cut = Cutter(body)
            digests = header["blobs"]
            inline = {digest: cut.next(length) for digest, length in header["inline"]}
            tasks = tuple(
                PackedTask(
                    index,
                    digests[function],
                    cut.next(length),
                    tuple(digests[at] for at in buffers),
                    identity=identity,
                )
                for index, function, length, buffers, identity in header["tasks"]
            )
            return cls(
                run=header["run"],
                number=header["job"],
                attempt=header["attempt"],
                deadline=header["deadline"],
                tasks=tasks,
                inline=inline,
                task_timeout=header["task_timeout"],
                code=header["code"],
                surroundings=Surroundings(**header["surroundings"]),
                python=header["python"],
            )


class Cutter:
    """Cuts a body into the pieces whose lengths its header lists."""

    def __init__(self, body: memoryview) -> None:
        """Start at the beginning of ``body``."""
        self._body = body
        self._at = 0

    def next(self, length: int) -> memoryview:
        """Give the next ``length`` bytes."""
        begin, self._at = self._at, self._at + length
        return self._body[begin : self._at]
