"""A transport that takes fewer jobs than the run may send, because AWS throttles."""

from __future__ import annotations

import time

from dolambda.scheduler.limits import Limits
from dolambda.scheduler.run import Run
from support.fake_transport import KEY, Memory, square
from support.polling import until


class Throttled(Memory):
    """A transport that never replies, and takes as many jobs as a test says."""

    def __init__(self) -> None:
        super().__init__(lambda _job, _count: None)
        self.taken = 1
        self.asked = 0

    def room(self, most: int) -> int:
        self.asked += 1
        return min(most, self.taken)

    def is_idle(self) -> bool:
        """Return whether the run has sent a job and sleeps."""
        before = self.asked
        time.sleep(0.3)
        return len(self.sent) == 1 and self.asked == before


def test_jobs_are_sent_once_there_is_room_though_nothing_else_happens() -> None:
    transport = Throttled()
    run = Run("r", transport, KEY, Limits(4, 4, 60.0, batch=1))
    run.submit((square, (i,), {}) for i in range(3))
    until(transport.is_idle)
    transport.taken = 3
    until(lambda: len(transport.sent) == 3)
    run.cancel(warn=False)
