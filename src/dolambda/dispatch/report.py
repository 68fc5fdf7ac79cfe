"""What a run has done so far and what it took. On entry: each reply as it lands; on leaving: a frozen `Report`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolambda.wire.outcome import Usage


@dataclass(frozen=True)
class Report:
    """Counts since the beginning. ``seconds`` is the time workers ran, as Lambda bills it; ``calls`` AWS requests by action.

    ``over``: nothing more will come, whether all is done or the rest was cancelled.
    """

    tasks: int = 0
    done: int = 0
    failed: int = 0
    resent: int = 0
    jobs: int = 0
    running: int = 0
    seconds: float = 0.0
    cold: int = 0
    workers: frozenset[str] = frozenset()
    calls: Mapping[str, int] = field(default_factory=dict)
    over: bool = False

    def after(self, usage: Usage) -> Report:
        """With one more reply counted."""
        return replace(
            self,
            seconds=self.seconds + usage.seconds,
            cold=self.cold + usage.cold,
            workers=self.workers | {usage.worker},
            calls=dict(Counter(self.calls) + Counter(usage.calls)),
        )

    def __add__(self, other: Report) -> Report:
        """Two runs together."""
        return Report(
            self.tasks + other.tasks,
            self.done + other.done,
            self.failed + other.failed,
            self.resent + other.resent,
            self.jobs + other.jobs,
            self.running + other.running,
            self.seconds + other.seconds,
            self.cold + other.cold,
            self.workers | other.workers,
            dict(Counter(self.calls) + Counter(other.calls)),
        )
