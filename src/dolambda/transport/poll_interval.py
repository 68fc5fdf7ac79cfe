"""How often to look for replies.

On entry: what each look found, of how many jobs; on leaving: seconds until the next.

A LIST costs half of what a job's own requests do, whatever it finds. With few jobs under way: every
few hundredths of a second while looks find enough, ever more rarely while they do not, and soon
again when a job is sent, which may take no time. With many: a look that finds a hundredth of them
comes after a hundredth of the time that each takes (Little's law), and no reply waits longer for it
than that.
"""

from __future__ import annotations

_FASTER, _SLOWER = 1 / 1.4, 1.4
_ENOUGH = 4  # replies that one look has to find to be worth what it costs
_SHARE = 0.01


class PollInterval:
    """Of one poller."""

    soonest = 0.02
    """Seconds between two looks at the least."""

    def __init__(self, longest: float) -> None:
        """``longest`` pause between two looks, in seconds."""
        self.pause = self.soonest
        self._longest = longest

    def heeds_sending(self, wanted: int) -> bool:
        """Whether a job that is sent may have its reply before the next look is due, with so many under way."""
        return wanted * _SHARE <= _ENOUGH

    def sent(self) -> None:
        """A job was sent."""
        self.pause = self.soonest

    def looked(self, found: int, wanted: int) -> None:
        """A look has found so many replies of those to ``wanted`` jobs."""
        enough = max(min(_ENOUGH, wanted), wanted * _SHARE)
        if found < enough:
            self.pause = min(self.pause * _SLOWER, self._longest)
        elif self.heeds_sending(wanted):
            self.pause = self.soonest
        elif found >= 2 * enough:
            self.pause = max(self.pause * _FASTER, self.soonest)
