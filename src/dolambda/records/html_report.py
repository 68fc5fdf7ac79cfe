"""A record as one HTML file: no network, readable in light and dark, printable.

Its scripts draw the timeline. A policy allows these alone, by their hashes, and the page is
complete without them.

**Input:** a `RunRecord`. **Output:** text. Text from a program is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from dolambda.records.charts import duration_chart, load_chart, memory_chart, timeline_chart
from dolambda.records.report_tables import (
    MAX_LISTED,
    advice_table,
    cost_table,
    failure_table,
    slowest_table,
    throttling_table,
    tiles,
)
from dolambda.records.state import RUNNING, run_state
from dolambda.records.timeline import task_times
from dolambda.records.timeline_data import timeline_data
from dolambda.wording import moment

if TYPE_CHECKING:
    from dolambda.records.file_format import RunRecord
    from dolambda.records.timeline import TaskTime

_BAD_STATES = {"unfinished": "its program was killed", "cancelled": "cancelled"}
_HALF = ' class="half"'
_HALVES = {
    "How long tasks took",
    "Memory of tasks",
    "Slowest tasks",
    "Throttled requests",
    "Cost by list price",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
{head}
<meta name="viewport" content="width=device-width">
<title>{title}</title></head><body>
{body}
</body></html>
"""
_LEGEND = (
    '<p class="note legend"><i class="k0"></i>a task <i class="k1"></i>a failed task '
    '<span class="hint"> Drag to zoom, double-click to see all, click a task to keep it '
    "below.</span></p>"
)


@cache
def asset(name: str) -> str:
    """Return the text of a file of this package."""
    return (files(__package__) / "assets" / name).read_text("utf-8")


def style() -> str:
    """Return the style sheet."""
    return asset("uplot/uPlot.min.css") + asset("report.css")


def html_report(*records: RunRecord) -> str:
    """Return the page of one run, or of several in the order in which they are given."""
    scripts = [asset("uplot/uPlot.iife.min.js"), asset("timeline.js")]
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {hashes}"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{style()}</style>'
    drawn = "".join(f"<script>{script}</script>" for script in scripts)
    title = f"Run {records[0].header['id']}" if len(records) == 1 else f"{len(records)} runs"
    bodies = [report_body(one, run_state(one.header, one.footer)) for one in records]
    return page(title, "<hr>".join(bodies) + drawn, head)


def page(title: str, body: str, head: str) -> str:
    """Return a page with this text as its title. ``body`` and ``head`` are HTML."""
    return _PAGE.format(title=escape(title), head=head, body=body)


def report_body(record: RunRecord, state: str) -> str:
    """Return the content of a page about a run in that state, as HTML."""
    header, tasks = record.header, record.tasks
    times = task_times(tasks)
    span = max((one.begin + one.seconds for one in times), default=0.0)
    sections = {
        "Advice": "" if state == RUNNING else advice_table(record),
        "Tasks over time": _timeline(record, times, span),
        "Busy workers": load_chart(times, span) if span else "",
        "How long tasks took": duration_chart(tasks.seconds),
        "Memory of tasks": _memory(record),
        "Failed tasks": failure_table(tasks),
        "Slowest tasks": slowest_table(times),
        "Cost by list price": cost_table(record),
        "Throttled requests": throttling_table(record),
    }
    program = str(header.get("program") or "a program without a file")
    subtitle = f"{program} on {header.get('host')}, begun {moment(float(header['begun']))}"
    shown = "\n".join(
        f"<section{_HALF if name in _HALVES else ''}><h2>{name}</h2>{content}</section>"
        for name, content in sections.items()
        if content
    )
    nothing = "" if times else '<p class="note">No task has replied yet.</p>'
    return (
        f"<h1>{escape('Run ' + header['id'])}{_badge(state)}</h1><p>{escape(subtitle)}</p>\n"
        f'{tiles(record, span)}{nothing}\n<div class="sections">{shown}</div>'
    )


def _badge(state: str) -> str:
    kind = "running" if state == RUNNING else "bad-state" if state in _BAD_STATES else ""
    return f'<span class="state {kind}">{escape(_BAD_STATES.get(state, state))}</span>'


def _timeline(record: RunRecord, times: list[TaskTime], span: float) -> str:
    if not span:
        return ""
    errors = record.tasks.errors
    listed = {error.task for error in errors[:MAX_LISTED]}
    return (
        '<figure class="timeline" aria-label="Tasks of each worker over time">'
        f'{timeline_data(times, errors, span)}<div class="chart"></div>'
        f'<div class="static">{timeline_chart(times, span, listed)}</div>{_LEGEND}'
        '<p class="detail" aria-live="polite"></p></figure>'
    )


def _memory(record: RunRecord) -> str:
    paid = float(record.header.get("memory") or 0)
    measured = [mb for mb in record.tasks.peak if mb > 0]
    if not (paid and measured):
        return ""
    note = f"Each worker has {paid:,.0f} MB. A peak is that of the task's process so far."
    return memory_chart(measured, paid) + f'<p class="note">{note}</p>'


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
