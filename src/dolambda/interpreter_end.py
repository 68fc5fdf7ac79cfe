"""The end of the interpreter: what is open is finished first, then closed.

**Input:** sessions, when they are opened. **Output:** calls of their `finish` or `abandon`, and of
`close`.

As in concurrent.futures, what was submitted is finished before threads can no longer be started.
"""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from typing import Protocol


class Closable(Protocol):
    """What is to be closed when the interpreter ends."""

    def finish(self) -> None:
        """Wait until what was submitted is done."""

    def abandon(self) -> None:
        """Cancel what was submitted."""

    def close(self) -> None:
        """Let go of everything."""


class InterpreterEnd:
    """What is open in this process. For any thread."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[Closable] = weakref.WeakSet()
        self._lock = threading.Lock()
        self.has_begun = False
        """Whether threads can no longer be started: nothing can be submitted from then on."""

    def add(self, opened: Closable) -> None:
        """Close this when the interpreter ends."""
        with self._lock:
            self._open.add(opened)

    def discard(self, closed: Closable) -> None:
        """Leave this alone: it was closed."""
        with self._lock:
            self._open.discard(closed)

    def begin(self, *, failed: bool) -> None:
        """Finish what was submitted. Cancel it if the program ``failed``, by Ctrl-C for example."""
        self.has_begun = True
        for one in self._opened():
            one.abandon() if failed else one.finish()

    def complete(self) -> None:
        """Close everything."""
        for one in self._opened():
            one.close()

    def _opened(self) -> list[Closable]:
        with self._lock:
            return list(self._open)


INTERPRETER_END = InterpreterEnd()
"""A process has one interpreter, and it ends once."""


def _program_failed() -> bool:
    return getattr(sys, "last_value", None) is not None and not hasattr(sys, "ps1")


# No public name runs before the last threads have ended; loky uses this one too.
threading._register_atexit(  # type: ignore[attr-defined]  # noqa: SLF001
    lambda: INTERPRETER_END.begin(failed=_program_failed())
)
atexit.register(INTERPRETER_END.complete)
