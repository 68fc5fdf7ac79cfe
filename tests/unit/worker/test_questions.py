"""How often workers ask whether their jobs are still wanted: one, and all of a stack together."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from dolambda.worker.questions import JITTER, LONGEST_S, QuestionTimes
from dolambda.worker.waits import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable

S3_READS_PER_S = 5_500
"""GETs and HEADs a second under one prefix, "Best practices design patterns: optimizing Amazon S3
performance".
"""


def all_at_once(number: int) -> float:
    """Return when a worker begins that is still warm: S3 takes 3,500 jobs a second."""
    return number / 3_500


def as_lambda_scales(number: int) -> float:
    """Return when a worker begins: "1,000 execution environment instances every 10 seconds"."""
    return 10.0 * (number // 1_000)


def busiest_second(
    workers: int, begins: Callable[[int], float], job_s: float, until: float = 150.0
) -> int:
    """Return the most questions in a second, from workers with one job after another of a run.

    Their durations differ by up to a fifth: equal ones would end together, with as many replies.
    """
    asked: Counter[int] = Counter()
    some = random.Random(workers)  # noqa: S311 - the same each time
    for number in range(workers):
        times, now = QuestionTimes(workers=workers), begins(number)
        while now < until:
            begun, ends = now, now + job_s * some.uniform(0.8, 1.2)
            due = times.begin("run", begun)
            while due < ends:
                asked[int(due)] += 1
                due = times.asked(due)
            if times.due_before_reply(ends - begun, ends):
                asked[int(ends)] += 1
                times.asked(ends)
            now = ends
    assert asked
    return max(asked.values())


@pytest.mark.parametrize("begins", [all_at_once, as_lambda_scales])
@pytest.mark.parametrize("job_s", [4.0, 30.0, 600.0])
@pytest.mark.parametrize("workers", [350, 1_000, 10_000])
def test_ten_thousand_workers_ask_less_than_a_tenth_of_what_s3_serves(
    workers: int, begins: Callable[[int], float], job_s: float
) -> None:
    assert busiest_second(workers, begins, job_s) < S3_READS_PER_S / 10


def test_few_workers_ask_early_and_then_rarely_however_short_the_jobs_of_a_run_are() -> None:
    times, now, asked = QuestionTimes(workers=100), 0.0, []
    while now < 2_000:
        due, ends = times.begin("a", now), now + 4.0
        while due < ends:
            asked.append(due)
            due = times.asked(due)
        now = ends
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    first = DEFAULT.first_question
    assert first <= asked[0] <= first * (1 + JITTER)
    assert min(gaps[10:]) >= LONGEST_S
    assert len(asked) < 2_000 / LONGEST_S + 10
    assert times.begin("b", now) - now <= first * (1 + JITTER)  # a new run is asked for early


@pytest.mark.parametrize(("workers", "asks"), [(1, True), (350, True), (10_000, False)])
def test_few_workers_ask_before_the_reply_of_a_job_of_more_than_a_second(
    workers: int, *, asks: bool
) -> None:
    times = QuestionTimes(workers=workers)
    times.begin("run", 100.0)
    assert times.due_before_reply(1.2, 101.2) is asks
    assert not times.due_before_reply(0.9, 100.9)
    times.asked(101.2)
    assert not times.due_before_reply(1.2, 102.4)
