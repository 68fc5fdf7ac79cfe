"""The end of a run, for all threads that wait for it.

**Input:** its end. **Output:** released threads.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from dolambda.transport.clean_up import left

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.transport.clean_up import CleanUp

log = logging.getLogger("dolambda")

_POLL_S = 0.5  # between two checks whether there is still something to wait for


class RunEnd:
    """The end of one run.

    Args:
        run: Name of the run.
        clean_up: Limits the wait for the removal of its objects.
        is_own: Returns True if the run waits for the calling thread, which must not wait for it.
    """

    def __init__(self, run: str, clean_up: CleanUp, is_own: Callable[[], bool]) -> None:
        self._run = run
        self._clean_up = clean_up
        self._is_own = is_own
        self._lock = threading.Lock()
        self._claimed = False
        self._reached = threading.Event()

    def claim(self) -> bool:
        """Return whether the caller is the first, and must report the end."""
        with self._lock:
            claimed, self._claimed = self._claimed, True
        return not claimed

    def reach(self) -> None:
        """Release all waiting threads."""
        self._reached.set()

    def wait(self, is_only_clean_up: Callable[[], bool]) -> None:
        """Wait for the end.

        When only clean-up is left, wait as long as that may take.
        """
        while not self._wait(_POLL_S):
            if is_only_clean_up():
                self.wait_for_clean_up()
                return

    def wait_for_clean_up(self) -> None:
        """Wait for the end as long as clean-up may take. A second Ctrl-C ends the wait."""
        done = False
        try:
            done = self._wait(left(self._clean_up.until()))
        finally:
            self._clean_up.ended(done=done)
        if not done:
            log.warning(
                "run %s: its objects could not be removed in time, they expire by themselves",
                self._run,
            )

    def _wait(self, timeout: float) -> bool:
        return self._is_own() or self._reached.wait(timeout)
