"""Advice from hand-made records: what it says, and when it says nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dolambda.records.advice import MARGIN, RUNTIME_MB, advice_of
from dolambda.records.file_format import Block, ErrorEntry, JobEntry, RunRecord
from dolambda.records.work import SIZES, RunWork, size_for

FULL = 1769


@dataclass(frozen=True)
class Job:
    """A job of a hand-made record: its tasks took ``seconds`` each, and ``cpu`` of a core."""

    seconds: tuple[float, ...] = (1.0,)
    cpu: float = 0.0
    peak: float = 300.0
    worker: str = "a"
    begin: float = 0.0
    overhead: float = 0.0
    cold: bool = False
    attempt: int = 1


def record_of(
    jobs: list[Job],
    *,
    errors: tuple[ErrorEntry, ...] = (),
    footer: dict[str, Any] | None = None,
    **header: object,
) -> RunRecord:
    block, first = Block(errors=list(errors)), 0
    for number, job in enumerate(jobs):
        took, spans = sum(job.seconds) + job.overhead, ((first, len(job.seconds)),)
        entry = JobEntry(number, job.attempt, job.worker, job.cold, 100 + job.begin, took, spans)
        block.jobs.append(entry)
        block.kinds += bytes(len(job.seconds))
        block.started.extend([0.0] * len(job.seconds))
        block.seconds.extend(job.seconds)
        block.cpu.extend([one * job.cpu for one in job.seconds])
        block.peak.extend([job.peak] * len(job.seconds))
        first += len(job.seconds)
    for error in errors:
        block.kinds[error.task] = 2
    facts = {"id": "abc", "memory": FULL, "timeout": 300, "architecture": "arm64"}
    return RunRecord({**facts, **header}, block, footer)


def several(job: Job, number: int = 20, workers: int = 2) -> list[Job]:
    """Return jobs like this one, one after the other on each worker."""
    took = sum(job.seconds) + job.overhead
    return [
        replace(job, worker=f"w{place % workers}", begin=took * (place // workers))
        for place in range(number)
    ]


def kinds(record: RunRecord) -> list[str]:
    return [one.kind for one in advice_of(record)]


def test_tasks_that_wait_are_as_fast_with_the_memory_that_they_need() -> None:
    (advice,) = advice_of(record_of(several(Job(cpu=0.0))))
    assert str(advice) == (
        "tasks used at most 300 MB of 1,769: memory=448 would cost 75% less and take about as long"
    )
    assert advice.kind == "memory"
    assert advice.figures["advised"] == 448
    assert json.loads(json.dumps(advice.to_dict()))["figures"]["peak_mb"] == 300


@pytest.mark.parametrize("cpu", [0.02, 0.1, 0.2])
def test_what_some_cpu_makes_slower_is_told(cpu: float) -> None:
    (advice,) = advice_of(record_of(several(Job(cpu=cpu))))
    size = advice.figures["advised"]
    slower = 1 - cpu + cpu * FULL / size
    assert advice.figures["time_change"] == pytest.approx(slower - 1, abs=1e-3)
    assert advice.figures["cost_change"] == pytest.approx(slower * size / FULL - 1, abs=1e-3)
    assert f"take about {slower - 1:.0%} longer" in advice.text


def test_what_is_cheaper_but_much_slower_is_told_too() -> None:
    (advice,) = advice_of(record_of(several(Job(cpu=0.5))))
    assert advice.text.endswith("memory=896 would cost 25% less and take about 49% longer")


@pytest.mark.parametrize("cpu", [0.65, 0.8, 0.95])
def test_tasks_that_mostly_compute_keep_their_memory(cpu: float) -> None:
    assert advice_of(record_of(several(Job(cpu=cpu)))) == []


def test_tasks_that_compute_keep_their_memory() -> None:
    """With less they would cost the same and take longer; with more they would cost more."""
    assert advice_of(record_of(several(Job(cpu=1.0)))) == []


def test_tasks_short_of_cpu_are_faster_for_the_same_money() -> None:
    jobs = several(Job(cpu=512 / FULL))
    (advice,) = advice_of(record_of(jobs, memory=512))
    assert advice.figures["advised"] == FULL
    assert advice.text.endswith(
        "memory=1769 would take about 71% less time and cost about the same"
    )


def test_tasks_of_one_core_get_no_second_one() -> None:
    (advice,) = advice_of(record_of(several(Job(cpu=1.0)), memory=2 * FULL))
    assert advice.figures["advised"] == FULL
    assert "cost 50% less and take about as long" in advice.text


def test_tasks_on_two_cores_keep_them() -> None:
    assert advice_of(record_of(several(Job(cpu=1.9)), memory=2 * FULL)) == []


def test_on_an_emulator_tasks_had_the_whole_core() -> None:
    """What they did not compute in is then waiting, and not for CPU."""
    jobs = several(Job(cpu=0.29))
    limited = advice_of(record_of(jobs, memory=512, emulated=True, cpu_limited=True))
    whole = advice_of(record_of(jobs, memory=512, emulated=True))
    assert limited[0].figures["time_change"] == pytest.approx(-0.71, abs=0.01)
    assert whole == []
    (lower,) = advice_of(record_of(several(Job(cpu=0.05)), memory=FULL, emulated=True))
    assert lower.figures["time_change"] > 0.05


def test_on_an_emulator_other_programs_may_have_had_the_core() -> None:
    jobs = several(Job(cpu=0.1))
    said = "a busy machine looks like waiting tasks"
    (shared,) = advice_of(record_of(jobs, emulated=True))
    assert said in shared.text
    assert shared.figures["cpu_limited"] is False
    for record in (record_of(jobs, emulated=True, cpu_limited=True), record_of(jobs)):
        (measured,) = advice_of(record)
        assert said not in measured.text
    near = several(Job(cpu=0.1, peak=1700.0))  # its memory does not depend on time
    assert said not in advice_of(record_of(near, emulated=True))[0].text


@pytest.mark.parametrize("peak", [30.0, 52.0, 300.0, 700.0, 1000.0, 1400.0])
@pytest.mark.parametrize("cpu", [0.0, 0.05])
def test_no_memory_is_advised_below_the_margin(peak: float, cpu: float) -> None:
    record = record_of(several(Job(cpu=cpu, peak=peak)))
    for advice in advice_of(record):
        size = advice.figures["advised"]
        assert size in SIZES
        assert size >= MARGIN * peak + RUNTIME_MB


def test_a_large_reply_takes_memory_of_the_worker_too() -> None:
    jobs = several(Job(peak=300.0))
    small, large = (
        advice_of(record_of(jobs, footer={"largest_reply": nbytes}))[0].figures["advised"]
        for nbytes in (0, 100 << 20)
    )
    assert small < large
    assert large >= MARGIN * 300 + 400


def test_memory_is_raised_where_it_is_nearly_used() -> None:
    (advice,) = advice_of(record_of(several(Job(cpu=1.0, peak=1600.0))))
    assert advice.figures["advised"] == 2048
    assert advice.text.startswith("tasks used up to 1,600 MB of 1,769: memory=2048")


def test_memory_is_raised_where_it_has_run_out() -> None:
    errors = (ErrorEntry(3, "lost", "out_of_memory", ""),)
    (advice,) = advice_of(record_of(several(Job(cpu=1.0)), errors=errors))
    assert (
        advice.text == "1 task ran out of 1,769 MB: memory=3072 keeps them from running out of it"
    )
    largest = advice_of(record_of(several(Job(cpu=1.0)), errors=errors, memory=10_240))
    assert largest[0].text.endswith("the most there is: cut them into smaller ones")


@pytest.mark.parametrize("reason", ["crashed", "no_reply", "timed_out"])
def test_memory_is_not_lowered_where_a_peak_is_unknown(reason: str) -> None:
    errors = (ErrorEntry(3, "lost", reason, ""),)
    assert "memory" not in kinds(record_of(several(Job()), errors=errors))
    assert "memory" not in kinds(record_of(several(Job()), footer={"again": 1}))
    cancelled = (ErrorEntry(3, "lost", "cancelled", ""),)
    assert "memory" in kinds(record_of(several(Job()), errors=cancelled))


def test_memory_is_not_lowered_to_where_the_time_is_over() -> None:
    jobs = several(Job(seconds=(100.0,), cpu=0.3))
    assert advice_of(record_of(jobs, timeout=900))[0].figures["advised"] < 1000
    near = advice_of(record_of(jobs, timeout=200))
    assert all(one.figures["time_change"] < 0.4 for one in near if one.kind == "memory")


def test_nothing_is_said_of_memory_that_was_not_measured() -> None:
    assert advice_of(record_of(several(Job(peak=0.0)))) == []
    assert advice_of(record_of(several(Job()), memory=None)) == []
    assert advice_of(record_of([])) == []


def test_short_tasks_belong_together() -> None:
    jobs = several(Job(seconds=(0.002,), overhead=0.05, cpu=1.0), 200)
    (advice,) = advice_of(record_of(jobs, batch=1))
    assert advice.kind == "batch"
    assert advice.figures["advised"] == 50
    assert advice.text.endswith("less of the workers' time; batch=1 was given")
    together = several(Job(seconds=(0.002,) * 100, overhead=0.05, cpu=1.0), 20)
    assert advice_of(record_of(together)) == []


def test_jobs_near_the_time_limit_are_too_long() -> None:
    jobs = several(Job(seconds=(10.0,) * 25, cpu=1.0))
    (advice,) = advice_of(record_of(jobs))
    assert (advice.kind, advice.figures["advised"]) == ("batch", 7)


def test_tasks_near_the_time_limit_get_more() -> None:
    (advice,) = advice_of(record_of(several(Job(seconds=(250.0,), cpu=1.0))))
    assert advice.text == "the longest task took 4 min 10 s of 5 min: timeout=540 leaves them time"
    (own,) = advice_of(record_of(several(Job(seconds=(25.0,), cpu=1.0)), task_timeout=30.0))
    assert "task_timeout=60" in own.text


def test_tasks_that_were_stopped_get_more_time_or_are_cut() -> None:
    errors = tuple(ErrorEntry(task, "lost", "timed_out", "") for task in (3, 4))
    jobs = several(Job(cpu=1.0))
    assert advice_of(record_of(jobs, errors=errors))[0].text == (
        "2 tasks ended at the time limit of 5 min: timeout=600 leaves them time"
    )
    assert "cut tasks" in advice_of(record_of(jobs, errors=errors, timeout=900))[0].text


def test_arm64_has_a_lower_price() -> None:
    jobs = several(Job(seconds=(10.0,), cpu=1.0), 100)
    (advice,) = advice_of(record_of(jobs, architecture="x86_64"))
    assert advice.text.startswith("architecture=arm64 has a list price 20% lower, here $0.0058")
    assert advice_of(record_of(several(Job(cpu=1.0)), architecture="x86_64")) == []


def test_workers_that_only_start_are_too_many() -> None:
    jobs = [
        Job(seconds=(0.5,), cpu=1.0, worker=f"w{place}", cold=True, overhead=4.0)
        for place in range(40)
    ]
    (advice,) = advice_of(record_of(jobs))
    assert (advice.kind, advice.figures["advised"]) == ("workers", 5)
    assert "cold starts took 89% of the time of 40 workers" in advice.text


INVOKE = "lambda:InvokeFunction"


@pytest.mark.parametrize(
    ("throttled", "said"),
    [
        (
            {f"{INVOKE} ConcurrentInvocationLimitExceeded": 90},
            "at most 4 jobs at a time: workers=4",
        ),
        ({f"{INVOKE} FunctionInvocationRateLimitExceeded": 90}, "batch="),
        ({"s3:PutObject": 80, f"{INVOKE} ConcurrentInvocationLimitExceeded": 5}, "batch="),
        ({f"{INVOKE} ConcurrentInvocationLimitExceeded": 5}, None),
        ({}, None),
    ],
)
def test_a_run_that_was_throttled_sends_less(throttled: dict[str, int], said: str | None) -> None:
    record = record_of(several(Job(cpu=1.0), workers=4), footer={"throttled": throttled})
    found = [one.text for one in advice_of(record) if one.kind == "throttling"]
    assert len(found) == (said is not None)
    assert all(str(said) in text for text in found)


BUSY = Job(cpu=1.0)


@pytest.mark.parametrize(
    ("last", "cause", "said"),
    [
        (Job(seconds=(30.0,), cpu=1.0), "long task", "task 20 took 30 s, a typical one 1 s"),
        (Job(seconds=(30.0,), cpu=0.01), "long task", "it computed for 1% of that time"),
        (Job(cpu=1.0, attempt=2, begin=30.0), "sent again", "it was sent again"),
        (Job(cpu=1.0, cold=True, overhead=30.0), "cold start", "whose start took 30 s"),
        (Job(seconds=(1.0,) * 2 + (1.5,) * 20, cpu=1.0), "large job", "it held 22 tasks"),
        (Job(cpu=1.0, begin=30.0), "late", "as no worker was free"),
    ],
)
def test_why_the_end_was_waited_for(last: Job, cause: str, said: str) -> None:
    jobs = [*several(BUSY, 20, workers=4), replace(last, worker="w0", begin=last.begin + 5.0)]
    (advice,) = [one for one in advice_of(record_of(jobs)) if one.kind == "straggler"]
    assert (advice.figures["cause"], advice.figures["job"]) == (cause, 20)
    assert said in advice.text


def test_a_slow_worker_is_told_from_a_long_task() -> None:
    slow = [replace(BUSY, seconds=(8.0,), worker="slow", begin=8.0 * at) for at in range(3)]
    found = advice_of(record_of([*several(BUSY, 20, workers=4), *slow]))
    assert [one.figures["cause"] for one in found] == ["slow worker"]
    assert "tasks took 8 s on its worker and 1 s on the others" in found[0].text


def test_an_even_end_is_no_straggler() -> None:
    assert advice_of(record_of(several(BUSY, 20, workers=4))) == []
    assert advice_of(record_of(several(BUSY, 20, workers=1))) == []


def test_less_memory_never_takes_less_time() -> None:
    work = RunWork.from_record(record_of(several(Job(cpu=0.5))))
    seconds = [work.seconds(size) for size in SIZES]
    assert seconds == sorted(seconds, reverse=True)
    assert work.seconds(FULL) == pytest.approx(20.0)


def test_sizes_are_lambdas() -> None:
    assert (SIZES[0], SIZES[-1]) == (128, 10_240)
    assert (size_for(0), size_for(129), size_for(1e6)) == (128, 160, 10_240)
