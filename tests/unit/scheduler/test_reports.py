"""How often a run reports. A report takes as long as many tasks."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from dolambda.scheduler.hooks import RunHooks
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.run import Run
from dolambda.transport.in_process import InProcess
from support.fake_transport import KEY, Memory
from support.polling import until

if TYPE_CHECKING:
    from dolambda.scheduler.report import Report
    from dolambda.wire.job import Job

TASKS = 40


def nap(number: int) -> int:
    time.sleep(0.002)
    return number


@pytest.mark.parametrize(("seconds", "fewest", "most"), [(0.0, TASKS, 1000), (1e9, 2, 8)])
def test_between_two_reports_is_a_pause_but_not_before_the_last(
    seconds: float, fewest: int, most: int
) -> None:
    reports: list[Report] = []
    hooks = RunHooks(progress=reports.append, progress_s=seconds)
    limits = Limits(workers=1, window=10, runtime=60.0, batch=1)
    run = Run("r", InProcess(KEY), KEY, limits, hooks=hooks)
    futures = run.submit((nap, (number,), {}) for number in range(TASKS))
    assert [future.result(30) for future in futures] == list(range(TASKS))
    run.close()
    assert fewest <= len(reports) <= most
    assert any(report.done == TASKS and not report.over for report in reports)  # all have replied
    assert reports[-1].over


def test_what_came_too_early_is_reported_while_nothing_else_happens() -> None:
    reports: list[Report] = []
    held = threading.Event()
    memory = Memory()

    def hold_the_last(job: Job, _sent: int) -> bytes | None:
        if job.number:
            held.wait(30)
        return memory.answer(job)

    memory.fate = hold_the_last
    hooks = RunHooks(progress=reports.append, progress_s=0.3)
    limits = Limits(workers=2, window=2, runtime=60.0, batch=1)
    run = Run("r", memory, KEY, limits, hooks=hooks)
    quick, slow = run.submit((nap, (number,), {}) for number in range(2))
    assert quick.result(30) == 0
    until(lambda: reports[-1].done == 1)
    assert not slow.done()
    held.set()
    assert slow.result(30) == 1
    run.close()
