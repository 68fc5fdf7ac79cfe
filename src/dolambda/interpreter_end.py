"""The end of the interpreter: open sessions are finished first, then closed.

**Input:** sessions, when they are opened. **Output:** calls of their `finish` or `abandon`, and of
`close`.

As in concurrent.futures, submitted tasks are finished before threads can no longer be started.
"""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from typing import Protocol


class Closable(Protocol):
    """An object that is closed when the interpreter ends."""

    def finish(self) -> None:
        """Wait until all submitted tasks are done."""

    def abandon(self) -> None:
        """Cancel all submitted tasks."""

    def close(self) -> None:
        """Release all resources."""


class InterpreterEnd:
    """The open sessions of this process. Thread-safe."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[Closable] = weakref.WeakSet()
        self._lock = threading.Lock()
        self.has_begun = False
        """True if threads can no longer be started. Then nothing can be submitted."""

    def add(self, opened: Closable) -> None:
        """Close ``opened`` when the interpreter ends."""
        with self._lock:
            self._open.add(opened)

    def discard(self, closed: Closable) -> None:
        """Forget ``closed``, which was closed."""
        with self._lock:
            self._open.discard(closed)

    def begin(self, *, failed: bool) -> None:
        """Finish submitted tasks. Cancel them if the program ``failed``, for example by Ctrl-C."""
        self.has_begun = True
        for one in self._opened():
            one.abandon() if failed else one.finish()

    def complete(self) -> None:
        """Close all sessions."""
        for one in self._opened():
            one.close()

    def _opened(self) -> list[Closable]:
        with self._lock:
            return list(self._open)


INTERPRETER_END = InterpreterEnd()
"""The only instance: a process has one interpreter, and it ends once."""


def _program_failed() -> bool:
    return getattr(sys, "last_value", None) is not None and not hasattr(sys, "ps1")


# No public function runs before the last threads have ended. loky uses this one too.
threading._register_atexit(  # type: ignore[attr-defined]  # noqa: SLF001
    lambda: INTERPRETER_END.begin(failed=_program_failed())
)
atexit.register(INTERPRETER_END.complete)
