"""A record as one HTML file: no network, no scripts, readable in light and dark, printable.

**Input:** a `RunRecord`. **Output:** text. Text from a program is escaped.
"""

from __future__ import annotations

import math
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from dolambda.records.advice import NOTHING, advice_of
from dolambda.records.state import RUNNING, run_state
from dolambda.records.timeline import busy_shares, runs_of_levels, task_times
from dolambda.wording import count, dollars, duration, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dolambda.records.file_format import Block, RunRecord
    from dolambda.records.timeline import TaskTime

_WIDTH, _ROW, _LEFT = 1000, 14, 120
_BINS, _LEVELS = 500, 4
_MAX_ROWS, _MAX_MARKS, _MAX_ERRORS, _SLOWEST = 100, 1000, 100, 10
_BARS, _BAR_HEIGHT = 40, 120
_STATES = {
    "running": "the run is running",
    "unfinished": "the run has not ended: its program was killed",
    "cancelled": "the run was cancelled",
}

_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)
STYLE = """
:root { color-scheme: light dark; --busy: #2a78d6; --bad: #d03b3b; --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --busy: #6aa9f0; --bad: #ff7b72; } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1160px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2em 1.2em .2em 0; }
th { font-weight: 600; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
tr { border-bottom: 1px solid var(--line); vertical-align: top; }
svg { width: 100%; height: auto; } text { font-size: 11px; fill: currentColor; }
.busy { fill: var(--busy); } .bad { fill: var(--bad); } .axis { stroke: var(--line); }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
{head}
<meta name="viewport" content="width=device-width">
<title>{title}</title></head><body>
{body}
</body></html>
"""


def html_report(record: RunRecord) -> str:
    """Return the page."""
    state = run_state(record.header, record.footer)
    head = f"{_POLICY}<style>{STYLE}</style>"
    return page(f"Run {record.header['id']}", report_body(record, state), head)


def page(title: str, body: str, head: str) -> str:
    """Return a page with this text as its title. ``body`` and ``head`` are HTML."""
    return _PAGE.format(title=escape(title), head=head, body=body)


def report_body(record: RunRecord, state: str) -> str:
    """Return what a page says of a run in that state, as HTML."""
    header, tasks = record.header, record.tasks
    times = task_times(tasks)
    sections = {
        "Summary": _table([], _summary(record, times, state)),
        "Advice": "" if state == RUNNING else _advice(record),
        "Workers over time": _timeline(times),
        "How long tasks took": _durations(tasks.seconds),
        "Slowest tasks": _slowest(times),
        "Failed tasks": _failures(tasks),
    }
    program = str(header.get("program") or "a program without a file")
    subtitle = f"{program} on {header.get('host')}, begun {moment(float(header['begun']))}"
    shown = "\n".join(f"<h2>{name}</h2>{content}" for name, content in sections.items() if content)
    return f"<h1>{escape('Run ' + header['id'])}</h1><p>{escape(subtitle)}</p>\n{shown}"


def _summary(record: RunRecord, times: list[TaskTime], state: str) -> list[tuple[str, str]]:
    header, tasks, footer = record.header, record.tasks, record.footer or {}
    workers = {job.worker for job in tasks.jobs}
    took, used = sum(tasks.seconds), sum(tasks.cpu)
    memory, peak = header.get("memory"), max(tasks.peak, default=0.0)
    span = max((one.begin + one.seconds for one in times), default=0.0)
    rows = [
        ("tasks that replied", f"{len(tasks):,}"),
        ("failed", f"{sum(kind == 1 for kind in tasks.kinds):,}"),
        ("jobs", f"{len(tasks.jobs):,}"),
        ("workers", f"{len(workers):,}"),
        ("cold starts", f"{sum(job.cold for job in tasks.jobs):,}"),
        ("first task to last", duration(span)),
    ]
    if span and workers:
        share = took / (span * len(workers))
        rows.append(("workers busy", f"{min(1.0, share):.0%} of the time"))
    if took and used:
        rows.append(("CPU", f"{used / took:.0%} of one core while tasks ran"))
    if peak:
        paid = f" of {memory:,} MB that are paid for" if memory else ""
        rows.append(("memory at most", f"{peak:,.0f} MB{paid}"))
    if state in _STATES:
        rows.append(("state", _STATES[state]))
    counted = ("retried", "resent", "restored", "copies")
    rows += [(name, f"{footer[name]:,}") for name in counted if footer.get(name)]
    if bill := footer.get("bill"):
        items = ", ".join(f"{name} {dollars(bill[name])}" for name in ("compute", "invocations"))
        emulated = ", not charged: AWS was emulated" if header.get("emulated") else ""
        total = f"{dollars(footer['cost'])} ({items}, requests {dollars(bill['requests'])})"
        rows.append(("cost by list price", total + emulated))
    return rows


def _advice(record: RunRecord) -> str:
    found = advice_of(record)
    rows = [(one.kind, one.text) for one in found] or [("", NOTHING)]
    return _table([], rows) if len(record.tasks) else ""


def _timeline(times: list[TaskTime]) -> str:
    span = max((one.begin + one.seconds for one in times), default=0.0)
    if not span:
        return ""
    shares = busy_shares(times, span, _BINS)
    rows = {worker: row for row, worker in enumerate(list(shares)[:_MAX_ROWS])}
    scale = (_WIDTH - _LEFT) / _BINS
    parts = []
    for worker, row in rows.items():
        label = escape(worker[-16:] or "?")
        parts.append(f'<text x="0" y="{_ROW * row + 11}">{label}</text>')
        for first, length, level in runs_of_levels(shares[worker], _LEVELS):
            parts.append(
                f'<rect class="busy" x="{_LEFT + first * scale:.1f}" y="{_ROW * row + 1}" '
                f'width="{length * scale:.1f}" height="{_ROW - 2}" opacity="{level / _LEVELS}"/>'
            )
    failed = [one for one in times if one.kind and one.worker in rows]
    for one in failed[:_MAX_MARKS]:
        x = _LEFT + (one.begin + one.seconds) / span * (_WIDTH - _LEFT)
        parts.append(
            f'<rect class="bad" x="{x - 1:.1f}" y="{_ROW * rows[one.worker]}" width="2" '
            f'height="{_ROW}"><title>task {one.task} failed</title></rect>'
        )
    height = _ROW * len(rows) + 20
    parts.append(f'<text x="{_LEFT}" y="{height - 4}">0 s</text>')
    end = f'<text x="{_WIDTH}" y="{height - 4}" text-anchor="end">{duration(span)}</text>'
    left = len(shares) - len(rows)
    note = f"<p>{count(left, 'more worker')} not drawn.</p>" if left else ""
    legend = "<p>The stronger the colour, the busier the worker. A red mark is a failed task.</p>"
    return _svg(_WIDTH, height, [*parts, end]) + legend + note


def _durations(seconds: Sequence[float]) -> str:
    positive = [one for one in seconds if one > 0]
    if not positive:
        return ""
    low, high = math.log10(min(positive)), math.log10(max(positive))
    width = (high - low) / _BARS or 1.0
    counts = Counter(min(_BARS - 1, int((math.log10(one) - low) / width)) for one in positive)
    largest, step = max(counts.values()), _WIDTH / _BARS
    parts = []
    for number in range(_BARS):
        height = _BAR_HEIGHT * counts[number] / largest
        begin = 10 ** (low + number * width)
        parts.append(
            f'<rect class="busy" x="{number * step:.1f}" y="{_BAR_HEIGHT - height:.1f}" '
            f'width="{step - 2:.1f}" height="{height:.1f}">'
            f"<title>{count(counts[number], 'task')} from {duration(begin)}</title></rect>"
        )
    y = _BAR_HEIGHT + 14
    parts.append(f'<text x="0" y="{y}">{duration(10**low)}</text>')
    parts.append(f'<text x="{_WIDTH}" y="{y}" text-anchor="end">{duration(10**high)}</text>')
    return _svg(_WIDTH, y + 4, parts) + "<p>The scale is logarithmic.</p>"


def _slowest(times: list[TaskTime]) -> str:
    slowest = sorted(times, key=lambda one: one.seconds, reverse=True)[:_SLOWEST]
    rows = [
        (f"{one.task:,}", duration(one.seconds), duration(one.begin), one.worker) for one in slowest
    ]
    return _table(["task", "took", "began after", "worker"], rows) if rows else ""


def _failures(tasks: Block) -> str:
    errors = tasks.errors
    if not errors:
        return ""
    rows = [(f"{one.task:,}", one.kind, one.type, one.message) for one in errors[:_MAX_ERRORS]]
    left = len(errors) - len(rows)
    note = f"<p>{count(left, 'more failed task')} not listed.</p>" if left else ""
    return _table(["task", "outcome", "error", "message"], rows) + note


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{head and f'<tr>{head}</tr>'}{body}</table>"


def _svg(width: int, height: int, parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'
