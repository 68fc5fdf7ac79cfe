"""A report in words, as many as fit.

**Input:** a `Report`. **Output:** parts of a line, and the closing line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolambda.wording import count, dollars, duration

if TYPE_CHECKING:
    from dolambda.scheduler.report import Report

_SLOW_RATE = 10
_SMALLEST_COST = 0.00005  # dollars: smaller amounts would be shown as zero
_MAX_BAR, _MIN_BAR = 30, 10
_SEPARATOR = ", "
_TITLE = "dolambda"


@dataclass(frozen=True)
class Label:
    """The parts of a run's lines that do not change.

    Attributes:
        name: The name that a user gave the run. Empty if it has none.
        emulated: True if its costs are not charged.
    """

    name: str = ""
    emulated: bool = False

    def cost_of(self, report: Report) -> str:
        """Return the cost so far. Empty if unknown."""
        if report.cost < _SMALLEST_COST:
            return ""
        return f"would be {dollars(report.cost)}" if self.emulated else dollars(report.cost)


def share_done(report: Report) -> float:
    """Return the share of a run that is done, from 0 to 1."""
    return min(1.0, report.ended / report.expected) if report.expected else 0.0


def counts(report: Report) -> str:
    """Return the numbers of ended tasks and of all tasks: "5/10", or "5 of at least 10"."""
    between = " of at least " if _is_growing(report) else "/"
    return f"{report.ended:,}{between}{report.expected:,}"


def seconds_left(report: Report) -> float | None:
    """Return the seconds for the rest, if the total is known and some tasks are done."""
    here = report.ended - report.restored
    if report.open_ended or here <= 0 or report.elapsed <= 0:
        return None
    return (report.expected - report.ended) * report.elapsed / here


def details(report: Report, label: Label, age: float = 0.0) -> list[tuple[int, str]]:
    """Return the parts of a line after the counts, in order, each with its rank.

    The part with rank 0 stays longest. ``age`` is how many seconds ago the report came: tasks may
    take long, and time passes without a report.
    """
    left, elapsed = seconds_left(report), report.elapsed + age
    rate = (report.ended - report.restored) / report.elapsed if report.elapsed else 0.0
    decimals = 1 if rate < _SLOW_RATE else 0
    busy = min(report.running, len(report.workers))
    workers = f"{busy} of {count(len(report.workers), 'worker')} busy"
    said = (
        (0, f"{report.failed:,} failed" if report.failed else ""),
        (5, f"{report.retried:,} retried" if report.retried else ""),
        (6, f"{report.resent:,} resent" if report.resent else ""),
        (8, f"{report.throttles:,} throttled" if report.throttles else ""),
        (1, f"{duration(max(1.0, round(left - age)))} left" if left else ""),
        (2, workers if report.workers else "starting workers"),
        (7, f"{rate:,.{decimals}f} tasks/s" if rate else ""),
        (3, label.cost_of(report)),
        (4, f"{duration(elapsed)} so far" if elapsed >= 1 else ""),
    )
    return [(rank, text) for rank, text in said if text]


@dataclass(frozen=True)
class Row:
    """One line: a title, a bar of some cells, of which some are full, and text."""

    title: str
    cells: int
    full: int
    text: str


def row(report: Report, label: Label, width: int, age: float = 0.0) -> Row:
    """Return the line that fits into ``width`` columns. The counts are always in it."""
    head = _head(report)
    title = label.name or _TITLE
    if len(title) + len(head) + 2 > width:
        title = ""
    room = width - len(title) - len(head) - 3
    chosen: set[int] = set()
    said = details(report, label, age)
    for rank, text in sorted(said):
        needs = len(_SEPARATOR) + len(text)
        if room - needs < _MIN_BAR:
            break
        room -= needs
        chosen.add(rank)
    cells = 0 if _is_growing(report) else max(0, min(_MAX_BAR, room))
    text = _SEPARATOR.join([head, *(text for rank, text in said if rank in chosen)])
    return Row(title, cells, round(cells * share_done(report)), text)


def _head(report: Report) -> str:
    """Return share and counts. The share of an unknown total is left out."""
    return counts(report) if _is_growing(report) else f"{share_done(report):.0%} {counts(report)}"


def _is_growing(report: Report) -> bool:
    return report.open_ended and not report.over


def one_line(report: Report, label: Label, age: float = 0.0) -> str:
    """Return all parts without a bar, for a log. The report came ``age`` seconds ago."""
    said = _SEPARATOR.join(text for _, text in details(report, label, age))
    return f"{_prefix(label)}{_head(report)} tasks, {said}"


def closing_line(report: Report, label: Label) -> str:
    """Return the line about a run that has ended. Empty for a quote: its sample was shown."""
    if report.declined:
        return ""
    if report.ended < report.expected:
        first = f"cancelled after {report.ended:,} of {count(report.expected, 'task')}"
    else:
        first = count(report.ended, "task")
    workers = f" on {count(len(report.workers), 'worker')}" if report.workers else ""
    cold = f" ({count(report.cold, 'cold start')})" if report.cold else ""
    said = (
        f"{first} in {duration(report.elapsed)}{workers}{cold}",
        f"{report.failed:,} failed" if report.failed else "",
        f"{report.retried:,} retried" if report.retried else "",
        f"{report.resent:,} resent" if report.resent else "",
        f"{report.restored:,} done before" if report.restored else "",
        f"{count(report.throttles, 'request')} throttled" if report.throttles else "",
        label.cost_of(report),
    )
    return f"{_prefix(label)}{_SEPARATOR.join(text for text in said if text)}"


def _prefix(label: Label) -> str:
    return f"{label.name}: " if label.name else ""
