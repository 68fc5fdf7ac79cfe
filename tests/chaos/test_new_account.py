"""A new account, with 10 concurrent executions: tasks of half a minute to nearly five, as fast as
ten workers can be, and none is lost or sent twice.

The durations of AWS, of the tasks and of the client's patience are divided by one factor. They are
counted on the simulated AWS's own clock, so a busy machine changes nothing (see
`support.simulated_aws.timeline`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from dolambda import LambdaExecutor
from dolambda.provision.deploy import _width
from dolambda.provision.function import _ASYNC
from dolambda.provision.limits import Limits
from dolambda.settings import Settings
from support.simulated_aws.behaviour import Behaviour
from support.simulated_aws.oracle import rest
from support.simulated_aws.simulation import Simulation

FACTOR = 200
TASKS = 100
DURATIONS = (30, 60, 200, 280)  # seconds
SLOTS = 10
NEW_ACCOUNT = Behaviour(
    concurrency=SLOTS,
    tasks=TASKS,
    retry_first=1.0,
    event_age=float(_ASYNC["MaximumEventAgeInSeconds"]),
).divided(FACTOR)


def ran(transport: str, window: int | None, seconds: float) -> tuple[float, dict[str, Any]]:
    """Run the tasks as on a stack deployed there, with at most ``window`` jobs in flight.

    Return how many times the ideal makespan they took, and what was seen.
    """
    settings = Settings()
    workers = _width(settings, lambda: Limits(total=SLOTS, available=SLOTS))
    with (
        Simulation(NEW_ACCOUNT) as simulation,
        simulation.session(
            workers=workers,
            window=window,
            transport=transport,
            max_wait=settings.max_wait / FACTOR,
        ) as session,
    ):
        session.runtime = settings.timeout / FACTOR
        # One task a job, as for all tasks of more than a second: that second is not divided.
        with LambdaExecutor(batch=1, session=session) as executor:
            found = list(executor.map(rest, range(TASKS), [seconds / FACTOR] * TASKS))
        assert found == [2 * number for number in range(TASKS)]
        report, seen = session.report(), simulation.seen()
    seen["sent"] = report.jobs, report.again, report.copies, report.resent, report.failed
    ideal = TASKS / SLOTS * seconds / FACTOR
    # Between replies, polls get as rare as `throttle`; a shortened task ends before they are.
    return seen["makespan"] / ideal + settings.throttle / seconds, seen


@pytest.mark.parametrize("transport", ["queue", pytest.param("direct", marks=pytest.mark.soak)])
def test_long_tasks_take_their_time_and_no_more(
    transport: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(len(DURATIONS)) as threads:
        run = partial(ran, transport, None)
        found = dict(zip(DURATIONS, threads.map(run, DURATIONS), strict=True))
    times_ideal = {seconds: round(times, 3) for seconds, (times, _) in found.items()}
    with capsys.disabled():
        print(f"\n{transport}: durations divided by {FACTOR}; times ideal: {times_ideal}")
    for times, seen in found.values():
        assert seen["sent"] == (TASKS, 0, 0, 0, 0)
        assert seen["calls"]["invocations"] == TASKS
        assert seen["most_busy"] == SLOTS
        assert 1.0 <= times <= 1.1


def test_more_in_flight_than_the_account_runs_would_be_slow() -> None:
    """The simulated queue shows what the width from the account's settings avoids."""
    times, seen = ran("queue", TASKS, 30)
    assert seen["calls"]["events throttled"] > TASKS
    assert times > 1.5
