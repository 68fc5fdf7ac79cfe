from __future__ import annotations

import random

import pytest

from dolambda.scheduler.part_rates import MAX_PER_S, PartRates


@pytest.mark.parametrize("workers", [1, 4, 10])
def test_few_workers_may_put_a_part_each_second(workers: int) -> None:
    rates = PartRates(workers)
    assert [rates.allot(n, workers - n - 1) for n in range(workers)] == pytest.approx([1] * workers)


@pytest.mark.parametrize("workers", [100, 1000, 10_000])
def test_the_pause_grows_with_the_workers(workers: int) -> None:
    rates = PartRates(workers)
    given = [rates.allot(n, 10 * workers) for n in range(workers)]
    assert sum(given) == pytest.approx(MAX_PER_S)
    assert min(given) == pytest.approx(MAX_PER_S / workers)
    assert max(given) == pytest.approx(MAX_PER_S / workers)


def test_many_workers_that_few_tasks_need_do_not_make_it_slow() -> None:
    rates = PartRates(10_000)
    assert [rates.allot(n, 4 - n) for n in range(5)] == pytest.approx([1, 0.9, 0.81, 0.729, 0.6561])


@pytest.mark.parametrize("seed", range(20))
def test_all_jobs_together_never_have_more_than_ten_a_second(seed: int) -> None:
    drawn = random.Random(seed)  # noqa: S311 - repeatable, no secret
    workers = drawn.choice([1, 3, 30, 3000])
    rates, in_flight = PartRates(workers), list[float]()
    for _ in range(500):
        if in_flight and drawn.random() < 0.4:
            rates.give_back(in_flight.pop(drawn.randrange(len(in_flight))))
        else:
            in_flight.append(
                rates.allot(len(in_flight), drawn.randrange(2 * workers))
            )  # copies, too
        assert sum(in_flight) <= MAX_PER_S + 1e-9
        assert all(0 <= rate <= 1 for rate in in_flight)


def test_what_jobs_that_have_ended_had_is_there_for_the_next() -> None:
    rates = PartRates(20)
    for _ in range(1000):
        rate = rates.allot(19, 50)
        assert rate > 0.4
        rates.give_back(rate)
