from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dolambda.scheduler.batching import MAX_TASKS, MIN_JOB_S, TARGET_S, Batcher


def test_nothing_known_means_one_task_a_job() -> None:
    assert Batcher().size(1000, 4) == 1


@pytest.mark.parametrize(
    ("seconds", "waiting", "workers", "size"),
    [
        (0.1, 1000, 4, 10),
        (5.0, 1000, 4, 1),
        (0.1, 40, 4, 5),
        (0.1, 1, 4, 1),
        (0.001, 60, 4, 60),
        (0.001, 500, 4, 100),
    ],
)
def test_about_a_second_of_work_but_a_share_for_everyone(
    seconds: float, waiting: int, workers: int, size: int
) -> None:
    batcher = Batcher()
    batcher.learn([seconds])
    assert batcher.size(waiting, workers) == size


def test_later_durations_count_more() -> None:
    batcher = Batcher()
    batcher.learn([1.0] * 10)
    batcher.learn([0.01] * 100)
    assert batcher.size(10_000, 1) == pytest.approx(TARGET_S / 0.01, rel=0.1)


@given(st.floats(1e-5, 1e4), st.integers(0, 10**7), st.integers(1, 10**5))
def test_at_least_one_and_more_than_a_share_only_when_that_is_too_short(
    seconds: float, waiting: int, workers: int
) -> None:
    batcher = Batcher()
    batcher.learn([seconds])
    size = batcher.size(waiting, workers)
    assert 1 <= size <= min(MAX_TASKS, max(1, waiting))
    assert (
        size == 1 or size <= waiting / (2 * workers) + 1 or size * max(seconds, 20e-6) <= MIN_JOB_S
    )


def test_what_a_cold_start_took_counts_only_until_something_else_is_known() -> None:
    batcher = Batcher()
    batcher.learn([2.0], cold=True)
    assert batcher.size(1000, 2) == 1
    batcher.learn([0.01])
    batcher.learn([2.0], cold=True)
    assert batcher.size(1000, 2) == TARGET_S / 0.01


def test_a_fixed_size_is_kept() -> None:
    batcher = Batcher(7)
    batcher.learn([100.0])
    assert (batcher.size(100, 4), batcher.size(3, 4)) == (7, 3)


@given(st.floats(1e-6, 10.0), st.integers(1, 10**6), st.integers(1, 1000))
def test_joblibs_batches_leave_no_rest_that_it_would_make_small_batches_of(
    seconds: float, left: int, workers: int
) -> None:
    batcher = Batcher()
    batcher.learn([seconds])
    size = batcher.round(left, workers)
    assert 1 <= size <= MAX_TASKS
    assert size * workers <= left or left < workers
    assert size * max(seconds, 20e-6) <= 1.5 * TARGET_S or size == 1


def test_what_is_hardly_more_than_a_round_of_batches_is_shared_out_evenly() -> None:
    batcher = Batcher()
    batcher.learn([0.01])
    assert [batcher.round(left, 2) for left in (250, 50, 29, 24, 3, 1)] == [63, 13, 14, 12, 1, 1]
    assert Batcher(7).round(24, 2) == 7
