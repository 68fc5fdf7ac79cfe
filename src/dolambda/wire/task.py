"""What client and worker agree on about tasks: sizes, how a function is packed, and what surrounds a task."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""This interpreter's minor version: pickles of code only load where they were made."""

INLINE = 8 * 1024
"""Functions up to this many bytes travel inside every job: one request less before it can start."""

INLINE_ONCE = 64 * 1024
"""Arrays up to this many travel inside a job until another needs them too: what tasks share is
worth an object, what one has is not.
"""

SHARED = 1 << 20
"""Arrays of more bytes are shared by the tasks of a worker, read-only; joblib's tasks also have
them hashed once for each call of a Parallel, unless a sample shows a change. joblib's own
``max_nbytes``, from which on it maps arrays into its processes' memory.
"""


def split_function(blob: memoryview) -> tuple[list[str], memoryview]:
    """Return the digests of the arrays that a packed function closes over, and its pickle."""
    count, size = int.from_bytes(blob[:4], "big"), 32
    ends = [4 + size * place for place in range(count + 1)]
    return [bytes(blob[end : end + size]).hex() for end in ends[:-1]], blob[ends[-1] :]


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What tasks find around them on the worker.

    Attributes:
        nesting: joblib's nesting level, for Parallel calls within tasks. None outside joblib.
        threads: Threads of BLAS, OpenMP and the like. None: as many as the worker has processors.
        log_level: Level of the root logger, as it is on the client.
        env: Environment variables, set before anything of the user's is loaded. They may be secret.
        language: What the tasks are written in. A child that runs those of one language runs none
            of another.
    """

    nesting: int | None = None
    threads: int | None = None
    log_level: int = 30
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    language: str = "python"

    def to_header(self) -> dict[str, object]:
        """Return it as keyword arguments of its class (dataclasses.asdict takes as long as sealing)."""
        header: dict[str, object] = {
            "nesting": self.nesting,
            "threads": self.threads,
            "log_level": self.log_level,
            "language": self.language,
        }
        return header | {"env": dict(self.env)} if self.env else header
