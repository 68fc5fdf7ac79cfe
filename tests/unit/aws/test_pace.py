"""Requests that follow each other no faster than AWS takes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dolambda.aws.pace import Pace


def test_a_burst_is_free_and_what_follows_waits_its_turn() -> None:
    clock = [0.0]
    pace = Pace(100.0, 50.0, lambda: clock[0])
    assert pace.take(50) == 0.0
    assert pace.take(10) == 0.1
    assert pace.take(10) == 0.2  # after the one that waits
    clock[0] = 0.2
    assert pace.take(10) == 0.1
    clock[0] = 100.0
    assert pace.take(50) == 0.0


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 250)), max_size=60),
)
def test_no_stretch_of_time_sees_more_than_its_rate_and_one_burst(
    asked: list[tuple[float, int]],
) -> None:
    """Each asks some time after the one before has begun."""
    clock = [0.0]
    pace = Pace(1000.0, 500.0, lambda: clock[0])
    done: list[tuple[float, int]] = []
    for idle, cost in asked:
        clock[0] += idle
        clock[0] += pace.take(cost)
        done.append((clock[0], cost))
    for first, (begun, _) in enumerate(done):
        total = 0
        for moment, cost in done[first:]:
            total += cost
            assert total <= 500 + 1000 * (moment - begun) + cost + 1e-6
