"""A run's budget: nothing is sent that might exceed it, whatever jobs take and however they are
lost.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dolambda.errors import BudgetError, ConfigurationError
from dolambda.scheduler.ledger import INIT, Ledger, Rates
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.run import Run
from dolambda.transport.base import Unanswered
from dolambda.wire.outcome import Lost, Usage
from support.fake_transport import KEY, Memory, square
from support.polling import until

if TYPE_CHECKING:
    from dolambda.wire.job import Job

REQUESTS = {
    "s3:PutObject": 5e-6,
    "s3:ListBucket": 5e-6,
    "s3:GetObject": 4e-7,
    "s3:HeadObject": 4e-7,
}
RATES = Rates(second=2.9e-5, invocation=2e-7, requests=REQUESTS, runtime=60.0, max_wait=60.0)


@settings(max_examples=1000, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    times=st.floats(1.0, 40.0),
    lost=st.floats(0.0, 0.5),
    typical=st.floats(0.01, 60.0),
    copies=st.booleans(),
)
def test_what_random_runs_cost_never_exceeds_their_budget(
    seed: int, times: float, lost: float, typical: float, *, copies: bool
) -> None:
    """Lambda's own accounts are kept beside: what runs, for how long, whether or not its reply
    comes.
    """
    draw = random.Random(seed)  # noqa: S311 - repeatable, no secret
    budget = times * (RATES.job + RATES.polling)
    calls: Counter[str] = Counter()
    ledger = Ledger(budget, RATES)
    billed = 0.0
    flying: list[tuple[int, list[float]]] = []
    for number in range(200):
        ledger.update(RATES.cost(calls))
        blobs = draw.randrange(3)
        if ledger.reserve(number, blobs):
            calls["s3:PutObject"] += 1 + blobs
            flying.append(
                (number, [min(60.0, draw.expovariate(1 / typical)) + draw.choice([0.0, INIT])])
            )
            if copies and draw.random() < 0.1 and ledger.reserve(number):
                calls["s3:PutObject"] += 1
                flying[-1][1].append(draw.uniform(0, 60))
        if flying and draw.random() < 0.7:
            done, seconds = flying.pop(draw.randrange(len(flying)))
            billed += sum(
                RATES.second * one
                + RATES.invocation
                + REQUESTS["s3:GetObject"]
                + REQUESTS["s3:PutObject"]
                for one in seconds
            )
            if draw.random() < lost:
                ledger.write_off(done)
            else:
                calls["s3:GetObject"] += 1
                calls["s3:ListBucket"] += 1
                theirs = {"s3:GetObject": 1, "s3:PutObject": 1}
                ledger.settle(
                    done,
                    max(0.0, seconds[0] - INIT) if seconds[0] > 60 else seconds[0],
                    theirs,
                    cold=seconds[0] > 60,
                )
        ledger.update(RATES.cost(calls))
        running = sum(RATES.second * one for _, seconds in flying for one in seconds)
        assert billed + running + RATES.cost(calls) <= budget
        assert ledger.spent <= budget
    for done, _ in flying:
        ledger.write_off(done)
    assert ledger.spent <= budget
    assert ledger._sum == pytest.approx(0.0, abs=1e-12)


def open_run(memory: Memory, jobs: float, **limits: Any) -> Run:
    rates = Rates(second=0.01, invocation=0.0, runtime=90.0)  # a dollar a job at its worst
    return Run("r", memory, KEY, Limits(4, 4, 0.0, batch=1, budget=jobs, rates=rates, **limits))


def test_within_the_budget_all_is_done_as_unused_reservations_come_back() -> None:
    memory = Memory()
    memory.fate = lambda job, _sent: memory.answer(
        job, usage=Usage("w", seconds=1.0)
    )  # a cent of the dollar reserved
    run = open_run(memory, 2.5)
    assert [future.result(20) for future in run.submit((square, (i,), {}) for i in range(50))] == [
        i * i for i in range(50)
    ]
    assert memory.most_flying <= 2
    run.close()


def test_a_budget_that_keeps_workers_idle_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory()
    memory.fate = lambda job, _sent: memory.answer(job, usage=Usage("w", seconds=1.0))
    run = open_run(memory, 2.5)
    for future in run.submit((square, (i,), {}) for i in range(50)):
        future.result(20)
    run.close()
    (said,) = [one.getMessage() for one in caplog.records if "the budget of" in one.getMessage()]
    assert "the budget of $2.5 keeps 2 of 4 workers busy" in said
    assert "reserved at its worst, $1.00" in said
    assert "\n" not in said


@pytest.mark.parametrize(("budget", "tasks"), [(10.0, 50), (2.5, 2)])
def test_a_budget_that_is_wide_enough_is_not_mentioned(
    caplog: pytest.LogCaptureFixture, budget: float, tasks: int
) -> None:
    memory = Memory()
    memory.fate = lambda job, _sent: memory.answer(job, usage=Usage("w", seconds=1.0))
    run = open_run(memory, budget)
    for future in run.submit((square, (i,), {}) for i in range(tasks)):
        future.result(20)
    run.close()
    assert "the budget of" not in caplog.text


def test_what_it_does_not_pay_for_is_not_sent_and_says_so() -> None:
    memory = Memory()
    memory.fate = lambda job, _sent: memory.answer(job, usage=Usage("w", seconds=50.0))
    run = open_run(memory, 3.2)
    futures = run.submit((square, (i,), {}) for i in range(20))
    errors = [future.exception(20) for future in futures]
    paid = errors.count(None)
    assert paid == 5  # half a dollar each, until less than a whole one is left
    assert all(isinstance(error, BudgetError) for error in errors[paid:])
    assert "the budget of $3.2 is used up: $2.5050 are spent, and the $0.6950 left" in str(
        errors[-1]
    )
    assert "15 tasks were not sent" in str(errors[-1])
    run.close()
    assert (run.report().done, run.report().failed, len(memory.sent)) == (5, 15, 5)


def test_what_is_lost_costs_its_worst() -> None:
    for lost, paid in ((1, 4), (3, 0)):
        memory = Memory()

        def fate(
            job: Job, sent: int, memory: Memory = memory, lost: int = lost
        ) -> bytes | BaseException:
            until(lambda: len(memory.sent) >= 3)  # all that can be reserved at once
            if sent == 1 and job.number < lost:
                return Unanswered(Lost("crashed", "gone"))
            return memory.answer(job, usage=Usage("w", seconds=1.0))

        memory.fate = fate
        run = open_run(memory, 3.5)
        outcomes = [
            future.exception(20) for future in run.submit((square, (i,), {}) for i in range(4))
        ]
        run.close()
        assert outcomes.count(None) == paid
        assert all(isinstance(outcome, BudgetError) for outcome in outcomes if outcome)
        assert lost <= run._scheduler.ledger.spent <= 3.5


def test_one_that_does_not_cover_a_single_job_is_refused_at_once() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"budget=0.5 does not cover one job at its worst, \$1.00: \$1.00 for 1 min 30 s of "
        r"a worker",
    ):
        open_run(Memory(), 0.5)


def test_a_refused_budget_says_what_is_reserved_and_what_would_do() -> None:
    """At Lambda's prices polling for the reply to a short job costs more than the job."""
    rates = Rates(second=0.0000288, invocation=2e-7, requests={"s3:ListBucket": 5e-6}, runtime=3.0)
    with pytest.raises(ConfigurationError) as refused:
        Limits(4, 4, 3.0, budget=0.0004, rates=rates)
    said = str(refused.value)
    assert "budget=0.0004 does not cover one job at its worst, $0.0034: $0.00038 for 3 s" in said
    assert "$0.0030 for polls until its reply" in said
    assert "throttle=" in said
    assert "shorter timeout" not in said
    enough = float(said.split("Pass at least ")[1].split(". ", maxsplit=1)[0])
    assert Limits(4, 4, 3.0, budget=enough, rates=rates).budget == enough


@pytest.mark.parametrize("queues", [True, False])
def test_what_tasks_print_while_they_run_is_reserved(*, queues: bool) -> None:
    plain, live = replace(RATES, queues=queues), replace(RATES, queues=queues, live=True)
    # A part each second: asking whether it is wanted, writing it, reading it; and a look each
    # second.
    assert live.job - plain.job == pytest.approx(60 * (5e-6 + 2 * 4e-7))
    assert live.polling - plain.polling == pytest.approx(120 * 5e-6)
