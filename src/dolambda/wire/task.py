"""Facts about tasks that client and worker share.

They are sizes, the packed form of a function, and the context of a task.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Minor version of this interpreter. Pickled code loads only in the version that pickled it."""

INLINE = 8 * 1024
"""Functions up to this many bytes travel in every job: it starts with one request less."""

INLINE_ONCE = 64 * 1024
"""Arrays up to this many bytes travel in the job until another job needs them too.

An array that tasks share is worth an object of its own. An array of one task is not.
"""

SHARED = 1 << 20
"""Arrays of more bytes are shared by the tasks of a worker, read-only.

For joblib such an array is also hashed once for each call of a Parallel, unless a sample shows a
change. joblib uses the same value for ``max_nbytes``, from which it maps arrays into the memory of
its processes.
"""


def split_function(blob: memoryview) -> tuple[list[str], memoryview]:
    """Return the digests of the arrays in a packed function's closure, and its pickle."""
    count, size = int.from_bytes(blob[:4], "big"), 32
    ends = [4 + size * place for place in range(count + 1)]
    return [bytes(blob[end : end + size]).hex() for end in ends[:-1]], blob[ends[-1] :]


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The surroundings of tasks on the worker.

    Attributes:
        nesting: joblib's nesting level, for Parallel calls within tasks. None outside joblib.
        threads: Threads of BLAS, OpenMP and the like. None for as many as the worker has
            processors.
        log_level: Level of the root logger on the client.
        env: Environment variables, set before any of the user's code is loaded. They may be secret.
        language: Language of the tasks. A child process runs tasks of one language only.
    """

    nesting: int | None = None
    threads: int | None = None
    log_level: int = 30
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    language: str = "python"

    def to_header(self) -> dict[str, object]:
        """Return the context as keyword arguments of its class.

        `dataclasses.asdict` would take as long as sealing.
        """
        header: dict[str, object] = {
            "nesting": self.nesting,
            "threads": self.threads,
            "log_level": self.log_level,
            "language": self.language,
        }
        return header | {"env": dict(self.env)} if self.env else header
