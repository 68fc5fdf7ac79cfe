from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from dolambda.transport.window import CALM, PAUSE, Window


def test_until_throttled_it_is_no_limit() -> None:
    window = Window()
    for _ in range(100):
        window.answered()
    assert window.most(10_000) == 10_000


def test_throttles_of_one_moment_halve_it_once_and_answers_let_it_grow() -> None:
    window = Window()
    for _ in range(500):
        window.throttled(1000, 900)
    assert window.most(10_000) == 500
    window._throttled = time.monotonic()
    for _ in range(500):
        window.answered()
    assert 500 <= window.most(10_000) <= 501
    for _ in range(100_000):
        window.answered()
    assert 660 < window.most(10_000) < 680  # the square root of 500 squared and 200,000


def test_it_is_not_cut_below_what_runs() -> None:
    window = Window()
    window.throttled(1000, 200)
    assert window.most(10_000) == 800


def test_it_is_not_cut_while_more_is_answered_than_refused() -> None:
    window = Window()
    for _ in range(10):
        window.answered()
        window.throttled(1000, 1000)
    assert window.most(10_000) == 10_000
    window._cut -= PAUSE
    for _ in range(12):
        window.throttled(1000, 1000)
    window._cut -= PAUSE
    window.throttled(1000, 1000)
    assert window.most(10_000) < 10_000


def test_when_all_is_calm_it_doubles_with_each_window() -> None:
    window = Window()
    window.throttled(1000, 1000)
    window._throttled -= CALM + 1
    for _ in range(500):
        window.answered()
    assert window.most(10_000) == 1000


def test_it_grows_by_itself_while_few_refused_calls_wait() -> None:
    window = Window()
    window.throttled(1000, 900)
    assert window.most(10_000) == 500
    for _ in range(10):
        window._grown -= PAUSE
        window.most(10_000, refused=60)
    assert window.most(10_000, refused=60) == 500
    for _ in range(10):
        window._grown -= PAUSE
        window.most(10_000, refused=40)
    assert 500 + 10 * 100 <= window.most(10_000) <= 500 + 10 * 200 + 200
    for _ in range(100):
        window._grown -= PAUSE
        window.most(10_000)
    assert window.most(10_000) == 10_000
    window._grown -= 1000 * PAUSE
    assert window.most(10_100) < 10_500  # not by all of the time in which nothing was sent


def test_a_later_throttle_halves_again_down_to_one() -> None:
    window = Window()
    for _ in range(20):
        window.throttled(64, 64)
        window._cut -= PAUSE
    assert window.most(64) == 1


def test_it_follows_what_lands() -> None:
    """Lambda runs few calls at a time, then many, then few: others use the rest of the account."""
    window, seen = Window(), []
    for slots in (10, 200, 40):
        running, refused = 0, 0
        for _ in range(60):  # seconds, in each of which a call ends
            window._cut -= PAUSE
            window._throttled -= PAUSE
            for _ in range(running):
                window.answered()
            wanted = window.most(1_000)
            refused = max(0, wanted - slots)
            running = wanted - refused
            for _ in range(refused):
                window.throttled(wanted, refused)
        seen.append((slots, window.most(1_000)))
    assert all(slots <= size <= 2 * slots for slots, size in seen), seen


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 10_000)), max_size=200), st.integers(1, 10_000)
)
def test_it_is_never_less_than_one_nor_more_than_wanted(
    events: list[tuple[bool, int]], wanted: int
) -> None:
    window = Window()
    for throttled, under_way in events:
        if throttled:
            window.throttled(under_way, under_way // 2)
            window._cut -= PAUSE
        else:
            window.answered()
        assert 1 <= window.most(wanted) <= wanted
