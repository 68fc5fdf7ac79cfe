"""A pilot before the rest: what it tells, and what a verdict does."""

from __future__ import annotations

import pytest

from dolambda.errors import QuotedError
from dolambda.scheduler.hooks import RunHooks
from dolambda.scheduler.ledger import Rates
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.pilot import JOBS, Estimate
from dolambda.scheduler.run import Run
from dolambda.wire.outcome import Usage
from support.fake_transport import KEY, Memory, square

RATES = Rates(second=0.01, invocation=0.001, queues=False)


@pytest.mark.parametrize("go_on", [True, False])
def test_after_the_pilot_the_rest_is_sent_or_not(go_on: bool) -> None:
    memory = Memory()
    memory.fate = lambda job, _sent: memory.answer(job, usage=Usage("w", seconds=2.0))
    told: list[Estimate] = []

    def verdict(estimate: Estimate) -> bool:
        assert len(memory.sent) == JOBS
        told.append(estimate)
        return go_on

    run = Run(
        "r", memory, KEY, Limits(4, 4, 0.0, batch=1, rates=RATES), hooks=RunHooks(confirm=verdict)
    )
    futures = run.submit((square, (i,), {}) for i in range(25))
    errors = [future.exception(20) for future in futures]
    run.close()
    (estimate,) = told
    assert (estimate.tasks, estimate.workers) == (20, 4)
    assert estimate.spent == pytest.approx(JOBS * (2.0 * 0.01 + 0.001))
    if go_on:
        assert errors == [None] * 25
    else:
        assert errors[:JOBS] == [None] * JOBS
        assert all(isinstance(error, QuotedError) for error in errors[JOBS:])
        assert "20 tasks left, " in str(errors[-1])
        assert len(memory.sent) == JOBS


def test_what_is_submitted_after_a_no_is_not_sent_either() -> None:
    memory = Memory()
    run = Run(
        "r",
        memory,
        KEY,
        Limits(4, 4, 0.0, batch=1, rates=RATES),
        hooks=RunHooks(confirm=lambda _: False),
    )
    first = run.submit((square, (i,), {}) for i in range(JOBS + 1))
    assert isinstance(first[-1].exception(20), QuotedError)
    later = run.submit((square, (i,), {}) for i in range(3))
    assert all(isinstance(future.exception(20), QuotedError) for future in later)
    run.close()
    assert len(memory.sent) == JOBS


def test_a_run_no_longer_than_its_pilot_asks_nothing() -> None:
    run = Run(
        "r", Memory(), KEY, Limits(4, 4, 0.0, rates=RATES), hooks=RunHooks(confirm=lambda _: False)
    )
    assert [
        future.result(20) for future in run.submit((square, (i,), {}) for i in range(JOBS))
    ] == [0, 1, 4, 9, 16]
    run.close()


def test_an_estimate_by_hand() -> None:
    """10,000 tasks of 30 s on 2,000 workers, one a job: five rounds of 30 s after 20 s of starting;
    3,000 dollars and 10 for calls.
    """
    estimate = Estimate.from_pilot(
        tasks=10_000, each=30.0, batch=1, workers=2000, rates=RATES, spent=0.1
    )
    assert estimate.seconds == pytest.approx(20 + 150)
    assert estimate.dollars == pytest.approx(3000 + 10)
    assert str(estimate) == (
        "10,000 tasks left, 30 s each: about 2 min 50 s on 2,000 workers, "
        "about $3,010.00 by list price; the sample cost $0.1000"
    )
