"""A check, twice a second, whether an emulated AWS still runs.

**Input:** the check, and a function to call. **Output:** one call when the emulated AWS has ended.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakMethod

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY = 0.5  # seconds
_LOOKS = 3  # checks that must fail, as one may fail for lack of a file descriptor


class Watch:
    """A watch in a daemon thread.

    It ends when it is stopped, or when the object whose methods it calls is gone.
    """

    def __init__(
        self, runs: Callable[[], bool], gone: Callable[[], object], every: float = _EVERY
    ) -> None:
        """Start the watch, which checks ``every`` so many seconds.

        ``runs`` and ``gone`` are methods. ``gone`` is called once, in the thread of the watch.
        """
        self._every = every
        self._runs, self._gone = WeakMethod(runs), WeakMethod(gone)
        self._stopped = threading.Event()
        threading.Thread(target=self._look, name="dolambda-emulator", daemon=True).start()

    def stop(self) -> None:
        """Stop the watch."""
        self._stopped.set()

    def _look(self) -> None:
        missed = 0
        while missed < _LOOKS:
            if self._stopped.wait(self._every):
                return
            runs = self._runs()
            if runs is None:
                return
            missed = 0 if runs() else missed + 1
            del runs
        if gone := self._gone():
            gone()
