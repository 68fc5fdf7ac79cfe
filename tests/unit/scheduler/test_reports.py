"""How often a run reports. A report takes as long as many tasks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from dolambda.scheduler.hooks import RunHooks
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.run import Run
from dolambda.transport.in_process import InProcess

if TYPE_CHECKING:
    from dolambda.scheduler.report import Report

KEY = b"k" * 32
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
