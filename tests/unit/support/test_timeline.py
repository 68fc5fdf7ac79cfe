"""The simulated AWS's own clock: late timers, and the client's share of the time."""

from __future__ import annotations

import asyncio
import time

from support.simulated_aws.behaviour import Behaviour
from support.simulated_aws.timeline import Timeline

_PAUSE = 0.05


def test_a_timer_that_fires_late_has_fired_in_time() -> None:
    async def fire() -> list[float]:
        timeline, over = Timeline(Behaviour()), asyncio.Event()
        fired: list[float] = []
        begun = timeline.time()
        timeline.call_later(0.01, lambda: fired.append(timeline.time() - begun))
        timeline.call_later(0.02, over.set)
        time.sleep(_PAUSE)  # noqa: ASYNC251 - the machine is busy
        await asyncio.wait_for(over.wait(), 10)
        return fired

    (fired,) = asyncio.run(fire())
    assert 0.01 <= fired <= 0.02


def test_the_makespan_counts_the_clients_time_undivided() -> None:
    """A job comes, ends, and the next one comes later: that pause is divided by the factor."""

    async def take(tasks: int) -> float:
        timeline = Timeline(Behaviour(concurrency=1, factor=1e6, tasks=tasks))
        for _ in range(2):
            ended = asyncio.Event()
            timeline.received()
            timeline.call_later(0.01, timeline.ended)
            timeline.call_later(0.01, ended.set)
            await asyncio.wait_for(ended.wait(), 10)
            time.sleep(_PAUSE)  # noqa: ASYNC251 - the client takes its time
        return timeline.makespan

    assert 0.02 <= asyncio.run(take(2)) < 0.02 + _PAUSE / 10
    assert asyncio.run(take(1)) >= 0.02 + _PAUSE  # nobody waited for the second one
