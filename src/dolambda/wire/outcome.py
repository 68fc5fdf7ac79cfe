"""What comes back.

Each state of an answer has its own class:

PackedOutcome   as the worker wrote it: pickled, not yet looked into
Value           the task returned                    exactly one of these three for every task
Failure         the task raised
Lost            the task has no answer of its own: crash, time-out, refusal, cancellation
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dolambda.errors import (
    JobRefusedError,
    LostError,
    NoReplyError,
    NotPicklableError,
    OutOfMemoryError,
    PythonMismatchError,
    RemoteError,
    RemoteTraceback,
    TaskTimedOutError,
    TooLargeError,
    WorkerCrashedError,
)
from dolambda.wire import exceptions, pickling
from dolambda.wire.exceptions import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = Literal["value", "failure", "lost"]

CRASHED, OUT_OF_MEMORY, TIMED_OUT = "crashed", "out_of_memory", "timed_out"
REFUSED, OTHER_PYTHON, NO_REPLY, NOT_STARTED, CANCELLED = (
    "refused",
    "other_python",
    "no_reply",
    "not_started",
    "cancelled",
)
"""Why a task is lost. The tasks that a job had not begun when it ended are NOT_STARTED: they are
sent again, blameless.
"""

_LOST_ERRORS: dict[str, type[LostError | PythonMismatchError]] = {
    CRASHED: WorkerCrashedError,
    OUT_OF_MEMORY: OutOfMemoryError,
    TIMED_OUT: TaskTimedOutError,
    REFUSED: JobRefusedError,
    OTHER_PYTHON: PythonMismatchError,
    NO_REPLY: NoReplyError,
}

LARGEST_RESULT = 5 << 30
"""Bytes of one object on S3, written by one request."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a task returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """What a task raised."""

    exception: BaseException

    def to_error(self) -> BaseException:
        """As the exception that a user sees."""
        return self.exception


@dataclass(frozen=True, slots=True)
class Lost:
    """Why a task has no answer: one of the reasons above, and a sentence for a person."""

    reason: str
    detail: str
    hint: str = ""

    def to_error(self) -> LostError | PythonMismatchError:
        """As the exception that a user sees."""
        return _LOST_ERRORS.get(self.reason, LostError)(self.detail, hint=self.hint)


@dataclass(frozen=True, slots=True)
class PackedOutcome:
    """An outcome in bytes.

    ``seconds`` is the time the task took on the worker; ``output`` what it printed and logged.
    """

    index: int
    kind: Kind
    payload: bytes | memoryview = field(default=b"", repr=False)
    buffers: Sequence[bytes | memoryview] = field(default=(), repr=False)
    seconds: float = 0.0
    output: str = ""
    note: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    """The task's identity, if it has one."""

    @classmethod
    def from_value(cls, index: int, value: object, seconds: float) -> PackedOutcome:
        """Pack what a task returned; a value that cannot be pickled becomes the failure that says so."""
        try:
            payload, apart = pickling.dump(value, f"the result of task {index}")
        except NotPicklableError as error:
            return cls.from_exception(index, error, seconds)
        nbytes = len(payload) + sum(part.nbytes for part in apart)
        if nbytes > LARGEST_RESULT:
            msg = (
                f"the result of task {index} is of {nbytes / 1e9:.1f} GB, one object on S3 "
                f"holds {LARGEST_RESULT / 1e9:.1f} GB"
            )
            return cls.from_exception(
                index,
                TooLargeError(msg, hint="Give it in parts, or write it where it is wanted."),
                seconds,
            )
        return cls(index, "value", payload, apart, seconds)

    @classmethod
    def from_exception(cls, index: int, error: BaseException, seconds: float) -> PackedOutcome:
        """Pack what a task raised; with its text alone when it does not survive the round trip."""
        note = exceptions.describe(error)
        payload, apart = exceptions.pack(exceptions.tamed(error, index))
        return cls(index, "failure", payload, apart, seconds, note=note)

    @classmethod
    def from_lost(cls, index: int, lost: Lost, output: str = "") -> PackedOutcome:
        """Pack the reason why there is no answer."""
        note = {"reason": lost.reason, "detail": lost.detail, "hint": lost.hint}
        return cls(index, "lost", output=output, note=note)

    def open(self) -> Value | Failure | Lost:
        """Unpickle; raises nothing, whatever the user's classes do.

        Call it only on what came out of a checked reply.
        """
        if self.kind == "lost":
            return Lost(**self.note)
        if self.kind == "failure":
            return Failure(self._open_exception())
        try:
            # Buffers are copied: a result is the user's own, to write into.
            return Value(
                pickling.load(self.payload, [bytearray(buffer) for buffer in self.buffers])
            )
        except BaseException as error:  # noqa: BLE001 - a user's class may raise anything here; its neighbours' results go on
            told = f"{type(error).__name__}: {text_of(error)}"
            refused = NotPicklableError(
                f"the result of task {self.index} came back but cannot be un-pickled ({told})",
                hint="Is its class importable here, and in the same version as on the worker?",
            )
            refused.__cause__ = error
            return Failure(refused)

    def _open_exception(self) -> BaseException:
        error = exceptions.load(self.payload, self.buffers) if self.payload else None
        if error is None:  # its class may not even be importable here
            error = RemoteError(
                f"{self.note['type']}: {self.note['message']}",
                hint="The exception itself cannot be pickled, so this stands for it; the remote "
                "traceback is its cause.",
            )
        exceptions.set_cause(error, RemoteTraceback(self.note["traceback"]))
        return error


@dataclass(frozen=True, slots=True)
class Usage:
    """What running a job took: ``worker`` names the execution environment, ``cold`` its first job, times in seconds."""

    worker: str = ""
    cold: bool = False
    started: float = 0.0
    seconds: float = 0.0
    calls: Mapping[str, int] = field(default_factory=dict)

    def to_header(self) -> dict[str, object]:
        """As keyword arguments of its class."""
        return {
            "worker": self.worker,
            "cold": self.cold,
            "started": self.started,
            "seconds": self.seconds,
            "calls": dict(self.calls),
        }
