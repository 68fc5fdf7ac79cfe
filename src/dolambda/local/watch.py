"""A look, twice a second, whether an emulated AWS still runs.

Input: who asks it, and who is told. Output: one call when it has ended, in whatever way.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakMethod

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY = 0.5  # seconds
_LOOKS = 3  # that have to find it gone, as one may fail without a file descriptor left


class Watch:
    """Watches in a daemon thread until it is stopped, or the object whose methods it calls is gone."""

    def __init__(self, runs: Callable[[], bool], gone: Callable[[], object]) -> None:
        """``runs`` and ``gone`` are methods; ``gone`` is called once, in the thread that watches."""
        self._runs, self._gone = WeakMethod(runs), WeakMethod(gone)
        self._stopped = threading.Event()
        threading.Thread(target=self._look, name="dolambda-emulator", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def _look(self) -> None:
        missed = 0
        while missed < _LOOKS:
            if self._stopped.wait(_EVERY):
                return
            runs = self._runs()
            if runs is None:
                return
            missed = 0 if runs() else missed + 1
            del runs
        if gone := self._gone():
            gone()
