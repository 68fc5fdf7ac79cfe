"""A pilot before the rest: what it tells, and what a verdict does."""

from __future__ import annotations

import pytest

from dolambda.errors import QuotedError
from dolambda.scheduler.batching import Batcher
from dolambda.scheduler.hooks import RunHooks
from dolambda.scheduler.job_sizes import JobSizes
from dolambda.scheduler.ledger import Rates
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.pilot import JOBS, Estimate, Measured, Pilot
from dolambda.scheduler.report import RunCounters
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
        Measured(30.0),
        tasks=10_000,
        jobs=10_000,
        workers=2000,
        started=5,
        rates=RATES,
        spent=0.1,
    )
    assert estimate.seconds == pytest.approx(20 + 150)
    assert estimate.dollars == pytest.approx(3000 + 10)
    assert str(estimate) == (
        "10,000 tasks left, 30 s each: about 2 min 50 s on 2,000 workers, "
        "about $3,010.00 by list price; the sample cost $0.1000"
    )


def test_starts_and_what_is_around_a_job_are_in_the_estimate() -> None:
    """On 10 workers, two of which have started: 8 starts of 3 s, of which the run waits for one."""
    estimate = Estimate.from_pilot(
        Measured(0.1, around=0.5, start=3.0),
        tasks=1000,
        jobs=100,
        workers=10,
        started=2,
        rates=RATES,
        spent=0.0,
    )
    assert estimate.seconds == pytest.approx(3 + (1000 * 0.1 + 100 * 0.5) / 10)
    assert estimate.dollars == pytest.approx((150 + 8 * 3) * 0.01 + 100 * 0.001)


def test_polls_for_replies_are_in_the_estimate() -> None:
    """With two workers and jobs of a second, polls cost more than all other requests."""
    prices = {"s3:PutObject": 5e-6, "s3:GetObject": 4e-7, "s3:ListBucket": 5e-6}
    rates = Rates(second=0.0, invocation=0.0, requests=prices)
    of = {"tasks": 60, "jobs": 60, "workers": 2, "started": 2, "rates": rates, "spent": 0.0}
    estimate = Estimate.from_pilot(Measured(1.0), **of)  # type: ignore[arg-type]
    polls = (estimate.dollars - 60 * (2 * 5e-6 + 2 * 4e-7)) / 5e-6
    assert 60 * 3 < polls < 60 * 8  # a job ends every half second
    fewer = Estimate.from_pilot(Measured(100.0), **of)  # type: ignore[arg-type]
    assert fewer.dollars - estimate.dollars < 3500 * 5e-6  # then about one a second


def learned(*jobs: tuple[bool, float, list[float]]) -> Pilot:
    pilot = Pilot(wanted=True)
    for number, (cold, around, seconds) in enumerate(jobs):
        pilot.learn(seconds, Usage(f"w{number % 2}", cold, 0.0, sum(seconds) + around))
    return pilot


def estimated(pilot: Pilot, *, tasks: int, waiting: int) -> Estimate:
    counters = RunCounters()
    counters.expect(tasks)
    counters.tasks = counters.jobs = waiting
    return pilot.estimate(waiting, Batcher(1), Limits(4, 4, 0.0, rates=RATES), counters)


def test_the_first_tasks_of_workers_import_and_are_no_measure_of_others() -> None:
    pilot = learned((True, 1.0, [2.1]), (True, 1.0, [2.1]), (False, 0.5, [0.1] * 3))
    estimate = estimated(pilot, tasks=1000, waiting=1000)
    assert estimate.each == pytest.approx(0.1)
    # Two of four workers have not started: each takes 3.1 - 0.6 s.
    assert estimate.dollars == pytest.approx((1000 * 0.6 + 2 * 2.5) * 0.01 + 1000 * 0.001)
    only_cold = estimated(learned((True, 0.0, [2.0])), tasks=10, waiting=10)
    assert only_cold.each == 2.0


def test_tasks_that_are_not_submitted_yet_are_left_too() -> None:
    estimate = estimated(learned((False, 0.0, [0.1])), tasks=1000, waiting=10)
    assert estimate.tasks == 1000


@pytest.mark.parametrize(
    ("sample", "expected", "at_once", "enough"),
    [
        ([], 1000, 2, False),
        ([[0.1]] * 5, 100, 2, True),  # 3% of the run
        ([[0.1]] * 5, 1000, 2, False),
        ([[0.1] * 10] * 5, 10_000, 2, True),
        ([[1.0]] * 5, 10_000, 2, True),  # 5 s
        ([[6.0]], 10_000, 5, False),  # long tasks: the others at once
    ],
)
def test_a_sample_grows_with_the_run_unless_tasks_are_long(
    sample: list[list[float]], expected: int, at_once: int, *, enough: bool
) -> None:
    pilot = learned(*((False, 0.0, seconds) for seconds in sample))
    counters = RunCounters()
    counters.expect(expected)
    counters.jobs = len(sample)
    assert pilot.is_to_ask(counters) is enough
    assert pilot.allows(counters, at_once - 1) is not enough
    assert not pilot.allows(counters, at_once)
    counters.jobs = 30
    assert pilot.is_to_ask(counters)  # whatever happens
    assert pilot.size(100, expected) == max(1, expected // 100)


def test_batches_of_joblib_hold_two_jobs_of_a_sample_until_it_ends() -> None:
    pilot = learned((False, 0.0, [0.1]))
    assert [pilot.batch_size(100, 1000), pilot.batch_size(5, 1000)] == [20, 5]
    pilot.answered(None)
    assert pilot.batch_size(100, 1000) == 100


def test_of_a_call_with_more_tasks_than_it_said_batches_are_as_of_an_unknown_one() -> None:
    batcher = Batcher()
    batcher.learn([1 / 128] * 100)
    limits = Limits(2, 2, 0.0)
    sizes = JobSizes(batcher, Pilot(wanted=False), limits, RunCounters())
    assert [sizes.of_batch(left, 2) for left in (24, 0, -5, None)] == [12, 128, 128, 128]


def test_as_many_jobs_are_expected_as_are_made() -> None:
    batcher = Batcher()
    batcher.learn([0.03] * 10)
    for waiting in (1, 7, 100, 100_000):
        left, jobs = waiting, 0
        while left:
            left -= batcher.size(left, 3)
            jobs += 1
        assert batcher.jobs(waiting, 3) == pytest.approx(jobs, rel=0.05, abs=1)


def test_what_first_tasks_import_ends_no_sample_and_sends_no_jobs_at_once() -> None:
    """Two workers imported for six seconds each: nothing is known yet of the tasks themselves."""
    counters = RunCounters()
    counters.expect(1000)
    pilot = learned((True, 0.0, [6.0]), (True, 0.0, [6.0]))
    assert not pilot.allows(counters, 2)
    counters.jobs = JOBS
    assert not pilot.is_to_ask(counters)
    pilot.learn([0.05], Usage("w0", cold=False, started=0.0, seconds=0.06))
    assert not pilot.is_to_ask(counters)
    counters.jobs = 1
    assert learned((True, 0.0, [60.0])).allows(counters, 4)  # nobody imports for a minute


@pytest.mark.parametrize("queues", [True, False])
def test_what_a_worker_waits_for_its_next_job_takes_time_but_no_money(*, queues: bool) -> None:
    """In a queue the next job is there already."""
    pilot = Pilot(wanted=True)
    for number in range(6):  # two workers, jobs of a second, half a second between them
        started = number // 2 * 1.5
        pilot.learn([1.0], Usage(f"w{number % 2}", cold=False, started=started, seconds=1.0))
    rates = Rates(second=0.01, invocation=0.0, queues=queues)
    counters = RunCounters()
    counters.expect(100)
    counters.tasks = counters.jobs = 100
    found = pilot.estimate(100, Batcher(1), Limits(2, 2, 0.0, rates=rates), counters)
    assert found.seconds == pytest.approx(50.0 if queues else 75.0)
    if not queues:
        assert found.dollars == pytest.approx(100 * 0.01)


def test_a_job_that_fetched_objects_is_no_measure_of_others() -> None:
    jobs = [(False, around, [0.1]) for around in (0.02, 0.9, 0.02, 0.02)]
    found = estimated(learned(*jobs), tasks=100, waiting=100)
    assert found.dollars == pytest.approx(100 * 0.12 * 0.01 + 100 * 0.001)


@pytest.mark.parametrize(("quiet", "each"), [(3, 0.1), (2, 0.16)])
def test_tasks_beside_the_start_of_another_worker_count_if_there_are_no_others(
    quiet: int, each: float
) -> None:
    """One worker has started, and runs tasks while the other still imports, for six seconds."""
    pilot = Pilot(wanted=True)
    pilot.learn([1.0], Usage("w0", cold=True, started=0.0, seconds=1.0))
    for number in range(3):
        pilot.learn([0.2], Usage("w0", cold=False, started=1.0 + number, seconds=0.2))
    pilot.learn([6.0], Usage("w1", cold=True, started=0.0, seconds=6.0))
    for number in range(quiet):
        pilot.learn([0.1], Usage("w0", cold=False, started=6.0 + number, seconds=0.1))
    assert estimated(pilot, tasks=100, waiting=100).each == pytest.approx(each)


def test_a_sample_goes_on_until_some_tasks_were_not_slowed_by_a_start() -> None:
    counters = RunCounters()
    counters.expect(100)
    counters.jobs = 5
    pilot = Pilot(wanted=True)
    pilot.learn([1.0], Usage("w0", cold=True, started=0.0, seconds=1.0))
    for number in range(3):
        pilot.learn([0.02] * 10, Usage("w0", cold=False, started=1.0 + number, seconds=0.2))
    assert pilot.is_to_ask(counters)  # as far as it is known
    pilot.learn([6.0], Usage("w1", cold=True, started=0.0, seconds=6.0))
    assert not pilot.is_to_ask(counters)
    for number in range(3):
        pilot.learn([0.01], Usage("w0", cold=False, started=6.0 + number, seconds=0.01))
    assert pilot.is_to_ask(counters)
