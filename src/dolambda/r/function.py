"""What travels of an R session: the function of each of its tasks.

**Input:** what the tasks of a loop share, as R serialized it. **Output:** a function of bytes that
returns bytes, which on a worker hands both to the worker's R process.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

from dolambda.r.r_process import run_in_r

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that tasks share, named by content. The first part of a function names the others."""

    digest: str
    data: bytes | bytearray | memoryview

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Part:
        """Name the bytes."""
        return cls(hashlib.sha256(data).hexdigest(), data)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the bytes leave the pickle: they become a blob, which is uploaded once."""
        return Part, (self.digest, PickleBuffer(self.data))


class RFunction:
    """A task of an R session, which takes its arguments and returns its result as R serialized them.

    ``session`` names the R session, so that what one leaves in a worker's R is never seen by
    another. ``home`` is where its R is, which the workers of an emulated AWS use too.
    """

    dolambda_language = "r"

    def __init__(self, session: str, home: str, parts: Sequence[Part]) -> None:
        """All of it travels."""
        self.session = session
        self.home = home
        self.parts = tuple(parts)
        self.__qualname__ = "R"

    def __call__(self, payload: bytes) -> bytes | bytearray:
        """Run a task. Raises `RTaskError`, or `WorkerCrashedError` when R ends under it."""
        return run_in_r(self.session, self.home, self.parts, payload)
