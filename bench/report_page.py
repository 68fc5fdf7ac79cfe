"""What a record and its report take: to record a task, to make the page of 100,000 tasks, and to
open it in Chromium.

Run it with: python bench/report_page.py [--write]. It needs Chromium.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import results
from dolambda.money.bill import Bill
from dolambda.records.file_format import Block, ErrorEntry, JobEntry, RunRecord
from dolambda.records.html_report import html_report
from dolambda.records.recorder import SessionRecords
from dolambda.records.store import RecordStore
from dolambda.scheduler.report import Report
from dolambda.wire.outcome import PackedOutcome, Usage
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.reply import Reply
from support.browser import Browser
from support.records import a_header

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = 5
DRAWN = "!!document.querySelector('figure.live canvas')"


def a_run(tasks: int, workers: int, batch: int) -> RunRecord:
    """Return a run of tasks that take about 0.3 s; one of 1,000 fails."""
    draw = random.Random(7)  # noqa: S311 - no secret
    block, free = Block(), [draw.random() for _ in range(workers)]
    for number in range(tasks // batch):
        worker, at = number % workers, 0.0
        for task in range(number * batch, (number + 1) * batch):
            seconds = math.exp(draw.gauss(-1.2, 0.6))
            failed = draw.random() < 0.001
            block.kinds.append(failed)
            block.started.append(at)
            block.seconds.append(seconds)
            block.cpu.append(0.9 * seconds)
            block.peak.append(draw.gauss(210, 25))
            if failed:
                block.errors.append(ErrorEntry(task, "failure", "builtins.ValueError", "odd"))
            at += seconds
        name = f"2026/11/25/[$LATEST]{worker:032x}"
        span = ((number * batch, batch),)
        cold, begun = number < workers, 1000.0 + free[worker]
        block.jobs.append(JobEntry(number, 1, name, cold, begun, at, span))
        free[worker] += at + 0.05
    return RunRecord(a_header("measured"), block, None)


def seconds_to_open(browser: Browser, file: Path) -> float:
    """Return the time from the order to open the file to the drawn timeline."""
    browser.open("about:blank")
    browser.wait_for("location.href === 'about:blank'")
    begun = time.perf_counter()
    browser.open(file.as_uri())
    browser.wait_for(f"location.protocol === 'file:' && {DRAWN}")
    return time.perf_counter() - begun


def seconds_to_record(tasks: int) -> float:
    """Return what recording a task takes, in jobs of so many tasks."""
    outcomes = [PackedOutcome.from_value(task, 1.0, 0.25) for task in range(tasks)]
    table = OutcomeTable.from_outcomes(outcomes, 0.5)
    reply = Reply("c/000000", 1, 1, table, Usage("worker", False, 1e9, 2.0))  # noqa: FBT003
    jobs = max(200, 100_000 // tasks)
    with tempfile.TemporaryDirectory() as directory:
        store = RecordStore(Path(directory) / "runs")
        recorder = SessionRecords(store, {}).recorder("c/000000", None)
        assert recorder
        begun = time.perf_counter()
        for _ in range(jobs):
            recorder.take(reply)
        recorder.end(Report(), Bill(0.0, 0.0, 0.0, 0.0))
        return (time.perf_counter() - begun) / (jobs * tasks)


def median(measured: Callable[[], float]) -> float:
    return statistics.median(measured() for _ in range(TIMES))


def measure() -> list[str]:
    lines = [
        f"Medians of {TIMES}.",
        "",
        "| tasks | workers | MB of the page | s to make it | s to open it in Chromium |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as directory, Browser() as browser:
        file = Path(directory) / "report.html"
        for tasks, workers, batch in ((1_000, 50, 5), (20_000, 200, 20), (100_000, 400, 50)):
            record = a_run(tasks, workers, batch)
            begun = time.perf_counter()
            page = html_report(record)
            made = time.perf_counter() - begun
            file.write_text(page, encoding="utf-8")
            opened = median(lambda: seconds_to_open(browser, file))
            size = file.stat().st_size / 1e6
            lines.append(f"| {tasks:,} | {workers} | {size:.1f} | {made:.1f} | {opened:.2f} |")
    lines += ["", "| tasks in a job | microseconds to record a task |", "|---|---|"]
    for tasks in (1, 10, 100, 1000):
        microseconds = 1e6 * median(partial(seconds_to_record, tasks))
        lines.append(f"| {tasks:,} | {microseconds:.2f} |")
    return lines


if __name__ == "__main__":
    results.main("Reports", measure)
