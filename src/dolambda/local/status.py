"""A line that shows the current step when it takes longer than a second.

**Input:** the current step. **Output:** one line on a terminal or in a notebook, updated in place
and removed at the end. In a file, a line after 15 seconds, and then at growing intervals.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from dolambda.notebook_display import content_of, in_notebook, new_display

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from dolambda.notebook_display import Handle

_AFTER_S, _AFTER_IN_FILE_S = 1.0, 15.0
_EVERY_S = 0.2
_ERASE = "\r\x1b[K"


class Status:
    """A context manager that shows the current step: ``status("deploying")`` sets it."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        shown: bool = True,
        after: float | None = None,
        display: Callable[[dict[str, str]], Handle] | None = None,
    ) -> None:
        """Prepare the line.

        Args:
            stream: Where it is written. Default: standard error.
            shown: False to show nothing.
            after: Seconds before it is shown. Default: 1, in a file 15.
            display: Makes a display of a notebook. Default: IPython's, in a notebook.
        """
        self._stream = stream or sys.stderr
        self._display = display or (new_display if in_notebook() else None)
        self._handle: Handle = None
        self._is_file = self._display is None and not self._is_terminal()
        usual = _AFTER_IN_FILE_S if self._is_file else _AFTER_S
        self._after = usual if after is None else after
        self._text = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, name="dolambda-status", daemon=True)
        self._shown = shown and self._stream is not None

    def __call__(self, text: str) -> None:
        """Set the current step."""
        self._text = text

    def __enter__(self) -> Self:
        """Show the line from now on."""
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
        with contextlib.suppress(AttributeError, ValueError, OSError):
            # No stream, a closed or an unusual one.
            return self._stream.isatty()
        return False

    def _show(self) -> None:
        begun = time.monotonic()
        wait = self._after
        written = False
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            while not self._over.wait(wait):
                wait = 2 * wait if self._is_file else _EVERY_S
                if self._text:
                    self._write(f"dolambda: {self._text} ({time.monotonic() - begun:.0f} s)")
                    written = True
            if written and not self._is_file:
                self._write("")

    def _write(self, line: str) -> None:
        """Show a line in the place of the previous one. In a file, add it."""
        if self._is_file:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        elif self._display is None:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"{_ERASE}{line[:width]}")
            self._stream.flush()
        elif self._handle is None:
            self._handle = self._display(content_of(line))
        else:
            self._handle.update(content_of(line), raw=True)
