"""The function of each task of an R session, which travels to workers.

**Input:** the data that the tasks of a loop share, serialized by R. **Output:** a function of bytes
that returns bytes. On a worker it passes both to the worker's R process.
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
        """Return a part that is named by its bytes."""
        return cls(hashlib.sha256(data).hexdigest(), data)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the bytes leave the pickle: they become a blob, which is uploaded once."""
        return Part, (self.digest, PickleBuffer(self.data))


class RFunction:
    """A task of an R session. Its arguments and its result are serialized by R.

    ``session`` names the R session, so that data which one leaves in a worker's R is never visible
    to another. ``home`` is the place of the session's R, which the workers of an emulated AWS also
    use.
    """

    dolambda_language = "r"

    def __init__(self, session: str, home: str, parts: Sequence[Part]) -> None:
        """Create the function. All arguments travel."""
        self.session = session
        self.home = home
        self.parts = tuple(parts)
        self.__qualname__ = "R"

    def __call__(self, payload: bytes) -> bytes | bytearray:
        """Run a task.

        Raises:
            RTaskError: The task raised an error in R.
            WorkerCrashedError: R ended during the task.
        """
        return run_in_r(self.session, self.home, self.parts, payload)
