"""The figures and tables of a report.

**Input:** a `RunRecord`. **Output:** HTML. Text from a program is escaped.
"""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from dolambda.records.advice import NOTHING, advice_of
from dolambda.records.timeline import short_name
from dolambda.wording import count, dollars, duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dolambda.records.file_format import Block, RunRecord
    from dolambda.records.timeline import TaskTime

MAX_LISTED = 100
"""Failed tasks in the table."""
_SLOWEST, _TYPES = 10, 5
_NUMBERS = {"task", "took", "began after", "dollars", "times"}


def tiles(record: RunRecord, span: float) -> str:
    """Return the figures that come first. ``span`` is the time from the first task to the last."""
    facts = (
        [_tasks(record)]
        if not len(record.tasks)
        else [
            _tasks(record),
            _failures(record),
            (duration(span) if span else "", "from the first task to the last"),
            _workers(record),
            _busy(record, span),
            _cpu(record),
            _memory(record),
            _throttled(record),
        ]
    )
    if cost := (record.footer or {}).get("cost"):
        emulated = record.header.get("emulated")
        facts.append((dollars(cost), "would be, AWS was emulated" if emulated else "by list price"))
    shown = "".join(
        f'<div class="tile{" bad-tile" if words.startswith("failed") and value != "0" else ""}">'
        f"<b>{escape(value)}</b><span>{escape(words)}</span></div>"
        for value, words in facts
        if value
    )
    return f'<div class="tiles">{shown}</div>'


def _tasks(record: RunRecord) -> tuple[str, str]:
    replied, counts = len(record.tasks), record.footer or record.counts
    expected = counts.get("expected") or counts.get("tasks") or 0
    words = f"tasks that replied, of {expected:,}" if expected > replied else "tasks that replied"
    jobs = len(record.tasks.jobs)
    return f"{replied:,}", f"{words}, in {count(jobs, 'job')}"


def _failures(record: RunRecord) -> tuple[str, str]:
    counts = record.footer or record.counts
    failed = sum(kind != 0 for kind in record.tasks.kinds)
    more = [
        f"{counts[name]:,} {words}"
        for name, words in (
            ("retried", "retried"),
            ("resent", "resent"),
            ("restored", "done before"),
            ("copies", "sent twice as slow"),
        )
        if counts.get(name)
    ]
    return f"{failed:,}", ", ".join(["failed", *more])


def _workers(record: RunRecord) -> tuple[str, str]:
    jobs = record.tasks.jobs
    workers, cold = len({job.worker for job in jobs}), sum(job.cold for job in jobs)
    return f"{workers:,}", f"{'worker' if workers == 1 else 'workers'}, {count(cold, 'cold start')}"


def _busy(record: RunRecord, span: float) -> tuple[str, str]:
    workers, took = len({job.worker for job in record.tasks.jobs}), sum(record.tasks.seconds)
    share = min(1.0, took / (span * workers)) if span and workers else 0.0
    return (f"{share:.0%}", "of the workers' time was spent in tasks") if share else ("", "")


def _cpu(record: RunRecord) -> tuple[str, str]:
    took, used = sum(record.tasks.seconds), sum(record.tasks.cpu)
    return (f"{used / took:.0%}", "of one core while tasks ran") if took and used else ("", "")


def _memory(record: RunRecord) -> tuple[str, str]:
    peak, memory = max(record.tasks.peak, default=0.0), record.header.get("memory")
    paid = f", of {memory:,} MB paid for" if memory else ""
    return (f"{peak:,.0f} MB", f"memory at most{paid}") if peak else ("", "")


def _throttled(record: RunRecord) -> tuple[str, str]:
    throttled = throttled_of(record)
    if throttled is None:
        return "", ""
    number = sum(throttled.values())
    return f"{number:,}", f"{'request' if number == 1 else 'requests'} throttled by AWS"


def throttled_of(record: RunRecord) -> dict[str, int] | None:
    """Return the throttled requests by action and reason, or None if they were not counted."""
    throttled = (record.footer or record.counts).get("throttled")
    return dict(throttled) if throttled is not None else None


def throttling_table(record: RunRecord) -> str:
    """Return what AWS refused as too frequent. Empty if there was nothing."""
    throttled = throttled_of(record)
    if not throttled:
        return ""
    rows = [(*f"{name} ".split(" ", 1), f"{n:,}") for name, n in sorted(throttled.items())]
    note = "All of them were repeated. They cost time, and no money for the workers."
    return _table(["request", "reason", "times"], rows) + f'<p class="note">{note}</p>'


def advice_table(record: RunRecord) -> str:
    """Return what to change for the next run. Empty for a run without tasks."""
    if not len(record.tasks):
        return ""
    found = advice_of(record)
    rows = [(one.kind, one.text) for one in found]
    return _table([], rows) if rows else f"<p>{NOTHING.capitalize()}.</p>"


def slowest_table(times: Sequence[TaskTime]) -> str:
    """Return the tasks that took longest."""
    slowest = sorted(times, key=lambda one: one.seconds, reverse=True)[:_SLOWEST]
    rows = [
        (
            f"{one.task:,}",
            duration(one.seconds),
            duration(max(0.0, one.begin)),
            short_name(one.worker),
        )
        for one in slowest
    ]
    return _table(["task", "took", "began after", "worker"], rows) if rows else ""


def failure_table(tasks: Block) -> str:
    """Return the failed tasks with their errors, as far as they are listed."""
    errors = tasks.errors[:MAX_LISTED]
    if not errors:
        return ""
    rows: list[tuple[str, ...]] = [
        (f"{one.task:,}", one.kind, one.type, one.message) for one in errors
    ]
    types = Counter(error.type or error.kind for error in tasks.errors)
    summary = ", ".join(f"{number:,} {name}" for name, number in types.most_common(_TYPES))
    left = len(tasks.errors) - len(errors)
    notes = [f"{count(left, 'more failed task')} not listed."] if left else []
    if not any(error.message for error in errors):
        notes.append("Messages are kept with record_errors=True.")
        rows = [row[:-1] for row in rows]
    headings = ["task", "outcome", "error", "message"][: len(rows[0])]
    names = [f"failed-{error.task}" for error in errors]
    note = f'<p class="note">{" ".join(notes)}</p>' if notes else ""
    return f"<p>{escape(summary)}</p>{_table(headings, rows, names)}{note}"


def cost_table(record: RunRecord) -> str:
    """Return the cost by item. Empty while a run is running."""
    bill, footer = (record.footer or {}).get("bill"), record.footer or {}
    if not bill:
        return ""
    names = ("compute", "invocations", "requests")
    rows = [(name, dollars(bill[name])) for name in names if name in bill]
    note = "Not charged: AWS was emulated." if record.header.get("emulated") else ""
    total = [*rows, ("together", dollars(footer["cost"]))]
    return _table(["item", "dollars"], total) + (note and f'<p class="note">{note}</p>')


def _table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], names: Sequence[str] = ()
) -> str:
    """Return a table. ``names`` are the anchors of its rows."""
    kinds = ["n" if name in _NUMBERS else "text" for name in headings] or ["", "text"]
    cells = [(f' class="{kind}"' if kind else "") for kind in kinds]
    head = "".join(
        f"<th{cell}>{escape(name)}</th>" for name, cell in zip(headings, cells, strict=False)
    )
    body = []
    for number, row in enumerate(rows):
        anchor = f' id="{names[number]}"' if names else ""
        shown = "".join(
            f"<td{cell}>{escape(text)}</td>" for text, cell in zip(row, cells, strict=True)
        )
        body.append(f"<tr{anchor}>{shown}</tr>")
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="scroll"><table>{top}<tbody>{"".join(body)}</tbody></table></div>'
