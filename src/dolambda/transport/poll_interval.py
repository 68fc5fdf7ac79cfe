"""The time between two polls for replies.

**Input:** the number of replies that each poll found, and of jobs. **Output:** seconds until the
next poll.

A LIST costs half as much as a job's own requests, whatever it finds. With few jobs in flight, polls
follow every few hundredths of a second while they find enough, then ever more rarely, and soon
again after a job was sent, which may take no time. With many jobs, the next poll comes when a
hundredth of them should have finished (Little's law), and no reply waits longer for it.
"""

from __future__ import annotations

_FASTER, _SLOWER = 1 / 1.4, 1.4
_ENOUGH = 4  # replies that make a poll worth its cost
_SHARE = 0.01
_LIST_S = 0.03  # that a LIST takes


class PollInterval:
    """The interval of one poller."""

    soonest = 0.02
    """Shortest time between two polls, in seconds."""

    def __init__(self, longest: float) -> None:
        """Start with short pauses. ``longest`` is the longest pause, in seconds."""
        self.pause = self.soonest
        self._longest = longest

    def heeds_sending(self, wanted: int) -> bool:
        """Return whether a job sent now may have its reply before the next poll.

        ``wanted`` jobs are in flight.
        """
        return wanted * _SHARE <= _ENOUGH

    def sent(self) -> None:
        """Record that a job was sent."""
        self.pause = self.soonest

    def looked(self, found: int, wanted: int) -> None:
        """Record that a poll found ``found`` replies to ``wanted`` jobs."""
        enough = max(min(_ENOUGH, wanted), wanted * _SHARE)
        if found < enough:
            self.pause = min(self.pause * _SLOWER, self._longest)
        elif self.heeds_sending(wanted):
            self.pause = self.soonest
        elif found >= 2 * enough:
            self.pause = max(self.pause * _FASTER, self.soonest)


def polls_of_run(jobs: int, seconds: float, at_once: int, longest: float) -> float:
    """Return the number of polls that a run needs by estimate.

    Args:
        jobs: Its number of jobs.
        seconds: Its duration.
        at_once: Number of jobs in flight at a time.
        longest: Longest pause between two polls, in seconds.
    """
    interval = PollInterval(longest)
    if interval.heeds_sending(at_once):  # with each job the pauses begin again
        polls, passed = 0.0, 0.0
        while passed < seconds / jobs and interval.pause < longest:
            passed += interval.pause + interval.soonest + _LIST_S
            polls += jobs
            interval.looked(0, at_once)
        polls += jobs * max(0.0, seconds / jobs - passed) / longest
    else:
        polls = jobs / (at_once * _SHARE)
    return min(max(polls, seconds / longest), seconds / (interval.soonest + _LIST_S))
