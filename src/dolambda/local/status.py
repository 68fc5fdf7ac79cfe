"""A line on a terminal that says what is being done, once that takes longer than a second.

**Input:** what is being done, as it changes. **Output:** one line, renewed in place and removed in
the end; nothing where standard error is no terminal.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_AFTER_S = 1.0
_EVERY_S = 0.2
_ERASE = "\r\x1b[K"


class Status:
    """Use as a context manager; ``status("deploying")`` says what is done from now on."""

    def __init__(
        self, stream: TextIO | None = None, *, shown: bool = True, after: float = _AFTER_S
    ) -> None:
        """``stream`` is standard error by default; ``after`` how many seconds it waits before it says anything."""
        self._stream = stream or sys.stderr
        self._after = after
        self._text = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, name="dolambda-status", daemon=True)
        self._shown = shown and self._is_terminal()

    def __call__(self, text: str) -> None:
        """Take note of what is done from now on."""
        self._text = text

    def __enter__(self) -> Self:
        """Show it from here on."""
        if self._shown:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the line."""
        self._over.set()
        if self._shown:
            self._thread.join()

    def _is_terminal(self) -> bool:
        with contextlib.suppress(
            AttributeError, ValueError, OSError
        ):  # none, closed, or a strange one
            return self._stream.isatty()
        return False

    def _show(self) -> None:
        begun = time.monotonic()
        wait = self._after
        written = False
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone: nobody reads it
            while not self._over.wait(wait):
                wait = _EVERY_S
                if self._text:
                    line = f"dolambda: {self._text} ({time.monotonic() - begun:.0f} s)"
                    width = shutil.get_terminal_size().columns - 1
                    self._stream.write(f"{_ERASE}{line[:width]}")
                    self._stream.flush()
                    written = True
            if written:
                self._stream.write(_ERASE)
                self._stream.flush()
