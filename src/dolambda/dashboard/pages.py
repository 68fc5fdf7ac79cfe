"""The dashboard's pages: all runs, and the report of one run.

**Input:** watched runs. **Output:** HTML, and JSON that updates it. Text from a program is escaped.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from dolambda.records.html_report import page, report_body, style
from dolambda.wording import dollars, duration, moment

if TYPE_CHECKING:
    from dolambda.dashboard.watched import WatchedRun, WatchedRuns

_MIN_WAIT_S = 1.0
_SHARE = 10  # rendering takes at most a tenth of the time
_SCRIPTS = "".join(
    f'<script src="/{name}" defer></script>' for name in ("uplot.js", "timeline.js", "live.js")
)


@dataclass(frozen=True)
class Content:
    """The current content of a page.

    Attributes:
        html: The content of ``<main>``.
        version: Changes with the content.
        in_use: True if a run on the page is running.
        final: True if it will not change any more.
        took: Seconds that it took to create it.
    """

    html: str
    version: str
    in_use: bool
    final: bool
    took: float


class Pages:
    """Renderer of pages, one at a time. Thread-safe."""

    def __init__(self, runs: WatchedRuns) -> None:
        """Prepare the pages. Nothing is read."""
        self._runs = runs
        self._lock = threading.Lock()
        self._made: dict[str, Content] = {}

    def all_runs(self) -> Content:
        """Return the list of all runs."""
        begun = time.monotonic()
        with self._lock:
            runs = self._runs.latest()
            rows = "".join(_row(run) for run in runs)
        html = f"<h1>Runs on this machine</h1>{_LIST.format(rows) if rows else _NO_RUNS}"
        in_use = any(run.is_running for run in runs)
        version = f"{zlib.crc32(html.encode()):08x}"
        return Content(html, version, in_use, final=False, took=time.monotonic() - begun)

    def one_run(self, name: str) -> Content | None:
        """Return the report of a run, or None if there is none of that id."""
        begun = time.monotonic()
        with self._lock:
            run = self._runs.run(name)
            if run is None:
                return None
            made = self._made.get(name)
            if made and made.version == run.version:
                return made
            back = '<p class="back"><a href="/">All runs</a></p>'
            html = f"{back}{report_body(run.record, run.state)}"
            took = time.monotonic() - begun
            made = Content(html, run.version, run.is_running, final=not run.is_running, took=took)
            self._made = {name: made}  # only the latest: a page may have some MB
            return made


def full_page(title: str, content: Content, updates: str) -> str:
    """Return a page. ``updates`` is the path of its updates."""
    main = (
        f'<p id="notice" hidden></p><main data-updates="{escape(updates)}" '
        f'data-version="{escape(content.version)}" data-final="{str(content.final).lower()}">'
        f"{content.html}</main>"
    )
    return page(title, main, f"<style>{style()}</style>{_SCRIPTS}")


def update_of(content: Content, seen: str) -> str:
    """Return the changes since a version, as JSON."""
    wait = max(_MIN_WAIT_S, _SHARE * content.took)
    return json.dumps(
        {
            "version": content.version,
            "html": None if content.version == seen else content.html,
            "final": content.final,
            "wait_ms": round(1000 * wait),
        }
    )


_NO_RUNS = "<p>No run has been recorded yet. A run appears here a second after it began.</p>"
_LIST = (
    "<table><thead><tr><th>run</th><th>state</th><th>program</th><th>begun</th>"
    '<th class="n">tasks</th><th class="n">failed</th><th class="n">took</th>'
    '<th class="n">cost</th>'
    "</tr></thead><tbody>{}</tbody></table>"
)


def _row(run: WatchedRun) -> str:
    header, facts = run.record.header, run.record.footer or run.record.counts
    link = f'<a href="/runs/{quote(header["id"], safe="")}">{escape(header["id"])}</a>'
    begun = float(header["begun"])
    elapsed = time.time() - begun if run.is_running else facts.get("elapsed", 0.0)
    tasks, ended = (
        facts.get("expected") or facts.get("tasks", 0),
        facts.get("done", 0) + facts.get("failed", 0),
    )
    texts = (run.state, str(header.get("program") or ""), moment(begun))
    would = "would be " if header.get("emulated") else ""
    numbers = (
        f"{ended:,} of {tasks:,}" if tasks != ended else f"{tasks:,}",
        f"{facts.get('failed', 0):,}",
        duration(elapsed),
        f"{would}{dollars(facts['cost'])}" if facts.get("cost") else "",
    )
    cells = "".join(f"<td>{escape(text)}</td>" for text in texts)
    cells += "".join(f'<td class="n">{escape(text)}</td>' for text in numbers)
    return f"<tr><td>{link}</td>{cells}</tr>"
