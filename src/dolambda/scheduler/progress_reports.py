"""Reports of a run's counts while it goes on.

**Input:** the run's counts after each moment. **Output:** calls of ``progress``.

A report takes as long as many tasks, so own displays get one each tenth of a second or so. What
came too early for that is reported once it is due, also if nothing else happens.
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.scheduler.hooks import RunHooks
    from dolambda.scheduler.report import Report

log = logging.getLogger("dolambda")


class ProgressReports:
    """Reports of one run.

    Attributes:
        due: When a report that came too early is due, on the monotonic clock. Infinite if none is.
    """

    def __init__(self, hooks: RunHooks, clock: Callable[[], float]) -> None:
        self.due = math.inf
        self._hooks = hooks
        self._clock = clock
        self._next = 0.0
        self._said = threading.Lock()  # held once a failure was logged: several threads report

    def update(self, counts: Callable[[], Report], *, busy: bool, over: bool = False) -> None:
        """Report the counts, unless it is too early while jobs are in flight (``busy``)."""
        if not self._hooks.progress:
            return
        now = self._clock()
        if now < self._next and busy and not over:
            self.due = self._next
            return
        self._next, self.due = now + self._hooks.progress_s, math.inf
        try:
            self._hooks.progress(replace(counts(), over=over))
        except BaseException:  # the user's function may raise anything
            if self._said.acquire(blocking=False):
                log.exception("progress= raised; the run continues. This is said once")
