"""How often replies are looked for: as often as it is worth, and no reply waits long."""

from __future__ import annotations

import pytest

from dolambda.transport.poll_interval import PollInterval


def test_polls_that_find_little_become_rare_and_a_new_job_makes_them_frequent() -> None:
    pace = PollInterval(longest=1.0)
    pace.looked(1, 1)
    assert pace.pause == pace.soonest
    pauses = []
    for _ in range(20):
        pace.looked(0, 1)
        pauses.append(pace.pause)
    assert pauses == sorted(pauses)
    assert pauses[-1] == 1.0
    assert pace.heeds_sending(400)
    pace.sent()
    assert pace.pause == pace.soonest


def test_four_replies_of_many_are_worth_a_look_and_three_are_not() -> None:
    pace = PollInterval(longest=1.0)
    pace.looked(3, 100)
    assert pace.pause > pace.soonest
    pace.looked(4, 100)
    assert pace.pause == pace.soonest


@pytest.mark.parametrize(("jobs", "seconds"), [(10_000, 30.0), (10_000, 5.0), (1_000, 60.0)])
def test_with_many_a_look_comes_after_about_a_hundredth_of_what_jobs_take(
    jobs: int, seconds: float
) -> None:
    pace, owed, pauses = PollInterval(longest=1.0), 0.0, []
    assert not pace.heeds_sending(jobs)
    for _ in range(300):
        owed += pace.pause * jobs / seconds  # replies that came in the pause
        pace.looked(int(owed), jobs)
        owed -= int(owed)
        pauses.append(pace.pause)
    settled = pauses[100:]
    assert 0.005 * seconds < sum(settled) / len(settled) < 0.03 * seconds


def test_while_replies_pour_in_looks_are_frequent() -> None:
    pace = PollInterval(longest=1.0)
    for _ in range(50):
        pace.looked(100, 2_000)
    assert pace.pause == pace.soonest
