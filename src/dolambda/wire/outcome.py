"""The outcome of a task.

Each state of an outcome has its own class:

PackedOutcome   as the worker wrote it: still pickled
Value           the task returned                    every task has exactly one of these three
Failure         the task raised
Lost            the task has no outcome of its own: crash, time-out, refusal, cancellation
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
"""Reasons why a task is lost.

Tasks that a job had not begun when it ended are NOT_STARTED: they are sent again, and the loss does
not count against them.
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
"""Bytes of the largest S3 object that one request can write."""


@dataclass(frozen=True, slots=True)
class Value:
    """The value that a task returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """The exception that a task raised."""

    exception: BaseException

    def to_error(self) -> BaseException:
        """Return the exception that the user sees."""
        return self.exception


@dataclass(frozen=True, slots=True)
class Lost:
    """The reason why a task has no outcome, one of the above, and a sentence for the user."""

    reason: str
    detail: str
    hint: str = ""

    def to_error(self) -> LostError | PythonMismatchError:
        """Return the exception that the user sees."""
        return _LOST_ERRORS.get(self.reason, LostError)(self.detail, hint=self.hint)


@dataclass(frozen=True, slots=True)
class PackedOutcome:
    """An outcome in bytes.

    Attributes:
        seconds: Time that the task took on the worker.
        output: What the task printed and logged.
    """

    index: int
    kind: Kind
    payload: bytes | memoryview = field(default=b"", repr=False)
    buffers: Sequence[bytes | memoryview] = field(default=(), repr=False)
    seconds: float = 0.0
    output: str = ""
    note: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    """The task's identity, or "" if it has none."""

    @classmethod
    def from_value(cls, index: int, value: object, seconds: float) -> PackedOutcome:
        """Pack a task's result.

        A result that cannot be pickled becomes a failure that explains it.
        """
        try:
            payload, apart = pickling.dump(value, f"the result of task {index}", pickling.OF_RESULT)
        except NotPicklableError as error:
            return cls.from_exception(index, error, seconds)
        nbytes = len(payload) + sum(part.nbytes for part in apart)
        if nbytes > LARGEST_RESULT:
            msg = (
                f"the result of task {index} takes {nbytes / 1e9:.1f} GB, but one S3 object "
                f"holds at most {LARGEST_RESULT / 1e9:.1f} GB"
            )
            return cls.from_exception(
                index,
                TooLargeError(msg, hint="Return it in parts, or write it to storage in the task."),
                seconds,
            )
        return cls(index, "value", payload, apart, seconds)

    @classmethod
    def from_exception(cls, index: int, error: BaseException, seconds: float) -> PackedOutcome:
        """Pack a task's exception.

        If the exception does not survive the round trip, only its text is packed.
        """
        note = exceptions.describe(error)
        payload, apart = exceptions.pack(exceptions.tamed(error, index))
        return cls(index, "failure", payload, apart, seconds, note=note)

    @classmethod
    def from_lost(cls, index: int, lost: Lost, output: str = "") -> PackedOutcome:
        """Pack the reason why there is no outcome."""
        note = {"reason": lost.reason, "detail": lost.detail, "hint": lost.hint}
        return cls(index, "lost", output=output, note=note)

    def open(self) -> Value | Failure | Lost:
        """Unpickle the outcome. Raises nothing, whatever the user's classes do.

        Call it only on the content of a checked reply.
        """
        if self.kind == "lost":
            return Lost(**self.note)
        if self.kind == "failure":
            return Failure(self._open_exception())
        try:
            # Buffers are copied: the user may write into a result.
            return Value(
                pickling.load(self.payload, [bytearray(buffer) for buffer in self.buffers])
            )
        except BaseException as error:  # noqa: BLE001 - a user's class may raise anything
            told = f"{type(error).__name__}: {text_of(error)}"
            refused = NotPicklableError(
                f"the result of task {self.index} was received but cannot be unpickled ({told})",
                hint="Check that its class can be imported locally, in the same version as on the "
                "worker.",
            )
            refused.__cause__ = error
            return Failure(refused)

    def _open_exception(self) -> BaseException:
        error = exceptions.load(self.payload, self.buffers) if self.payload else None
        if error is None:  # its class may not even be importable locally
            error = RemoteError(
                f"{self.note['type']}: {self.note['message']}",
                hint="The exception itself cannot be pickled, so this error replaces it. The "
                "remote "
                "traceback is its cause.",
            )
        exceptions.set_cause(error, RemoteTraceback(self.note["traceback"]))
        return error


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources that running a job took. Times are in seconds.

    Attributes:
        worker: Name of the execution environment.
        cold: True for the first job of that environment.
    """

    worker: str = ""
    cold: bool = False
    started: float = 0.0
    seconds: float = 0.0
    calls: Mapping[str, int] = field(default_factory=dict)

    def to_header(self) -> dict[str, object]:
        """Return the usage as keyword arguments of its class."""
        return {
            "worker": self.worker,
            "cold": self.cold,
            "started": self.started,
            "seconds": self.seconds,
            "calls": dict(self.calls),
        }
