"""Time and cost of a task at several memory sizes.

**Input:** replies of jobs of one task each. **Output:** a `Curve`, for a person or for a script.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dolambda.money.prices import PRICES
from dolambda.records.work import MB_PER_CORE
from dolambda.wording import dollars, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from dolambda.wire.reply import Reply

_SHOWN_TASKS = 1000
_MAX_BAR, _MIN_BAR, _BESIDE_BARS = 24, 4, 62
_FULL, _HALF = "█", "▌"


@dataclass(frozen=True)
class Point:
    """The average measures of one task at a memory size in MB.

    Attributes:
        memory: The size.
        seconds: Time of its job, as Lambda bills it.
        cpu: Seconds of CPU.
        peak: Largest MB of memory that tasks used.
        cost: Dollars of one job: its time, and the invocation.
        tasks: Tasks measured.
        failed: Those of them that returned no value.
        note: Reason for missing measures, or a problem.
    """

    memory: int
    seconds: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0
    cost: float = 0.0
    tasks: int = 0
    failed: int = 0
    note: str = ""

    @classmethod
    def from_replies(cls, memory: int, replies: Sequence[Reply], architecture: str) -> Point:
        """Average over the replies of jobs of one task each; there must be one."""
        number, prices = len(replies), PRICES[architecture]
        seconds = sum(reply.usage.seconds for reply in replies) / number
        failed = sum(any(kind & 0x0F for kind in reply.outcomes.kinds) for reply in replies)
        return cls(
            memory,
            seconds,
            sum(sum(reply.outcomes.cpu) for reply in replies) / number,
            max((peak for reply in replies for peak in reply.outcomes.peak), default=0.0),
            seconds * memory / 1024 * prices.gb_second + prices.invocation,
            number,
            failed,
            f"{failed:,} of {number:,} failed" if failed else "",
        )

    @property
    def counts(self) -> bool:
        """True if all of its tasks returned a value, so that it can be compared."""
        return bool(self.tasks) and not self.failed


@dataclass(frozen=True)
class Curve:
    """The points, by memory. ``deployed`` is the memory of the stack's function."""

    stack: str
    deployed: int
    points: tuple[Point, ...]
    spent: float = 0.0
    emulated: bool = False

    def best(self) -> dict[str, int]:
        """Return the sizes that are cheapest, fastest, and best in cost times time."""
        counting = [point for point in self.points if point.counts]
        if not counting:
            return {}
        return {
            "cheapest": min(counting, key=lambda point: (point.cost, point.memory)).memory,
            "fastest": min(counting, key=lambda point: (point.seconds, point.memory)).memory,
            "balanced": min(counting, key=lambda point: point.cost * point.seconds).memory,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the curve as a dictionary for JSON."""
        return {
            "stack": self.stack,
            "deployed": self.deployed,
            "emulated": self.emulated,
            "spent": self.spent,
            **self.best(),
            "points": [asdict(point) for point in self.points],
        }

    def table(self, width: int) -> Table:
        """Return a table that fits the width, with bars for time and cost if there is space."""
        size = min(_MAX_BAR, (width - _BESIDE_BARS) // 2)
        size = size if size >= _MIN_BAR else 0
        from rich.table import Table  # noqa: PLC0415 - slow, and only needed for the picture

        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column("memory", justify="right", no_wrap=True)
        table.add_column("cores", justify="right", no_wrap=True)
        table.add_column("a task takes", no_wrap=True)
        table.add_column(f"{_SHOWN_TASKS:,} tasks cost", no_wrap=True)
        table.add_column("", min_width=12)
        slowest = max((point.seconds for point in self.points), default=0.0)
        dearest = max((point.cost for point in self.points), default=0.0)
        for point in self.points:
            cells = [f"{point.memory:,}", f"{point.memory / MB_PER_CORE:.2f}", "", ""]
            if point.tasks:
                took, cost = duration(point.seconds), dollars(point.cost * _SHOWN_TASKS)
                cells[2] = f"{took:<8} {bar(point.seconds, slowest, size)}"
                cells[3] = f"{cost:<8} {bar(point.cost, dearest, size)}"
            table.add_row(*cells, ", ".join(self.remarks(point)))
        return table

    def remarks(self, point: Point) -> list[str]:
        """Return remarks on a point."""
        found = [name for name, memory in self.best().items() if memory == point.memory]
        if point.memory == self.deployed:
            found.insert(0, "deployed")
        return [*found, point.note] if point.note else found

    def summary(self) -> str:
        """Return a sentence with the advice."""
        best = self.best()
        if not best:
            return "nothing was measured that can be compared"
        size = best["balanced"]
        if size == self.deployed:
            return f"memory={size} is the best balance of cost and time, and is deployed"
        points = {point.memory: point for point in self.points if point.counts}
        now, then = points.get(self.deployed), points[size]
        what = f"memory={size} is the best balance of cost and time"
        if now is None:
            return what
        cost, time = then.cost / now.cost - 1, then.seconds / now.seconds - 1
        return f"{what}: cost {cost:+.0%}, time {time:+.0%} against {self.deployed:,} MB"


def bar(value: float, most: float, size: int) -> str:
    """Return a bar that has ``size`` characters for ``most``."""
    halves = round(2 * size * value / most) if most else 0
    return _FULL * (halves // 2) + _HALF * (halves % 2)
