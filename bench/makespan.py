"""Ten thousand workers: how long a run takes against the ideal schedule, and the client's memory
and CPU meanwhile.

The simulated AWS starts 1,000 environments every 10 seconds, as Lambda does. The ideal: the same
environments, from the same moments on, each taking the next task the moment it is free, with no
client, no network and no queue.
"""

from __future__ import annotations

import heapq
import os
import random
import threading
import time
from typing import Any

import results
from dolambda import LambdaExecutor
from support.simulated_aws.behaviour import Behaviour
from support.simulated_aws.simulation import Simulation, session_on

WORKERS = 10_000
TASKS = 40_000
AWS = Behaviour(concurrency=WORKERS)


def durations() -> list[float]:
    draw = random.Random(7)  # noqa: S311 - repeatable, no secret
    return [draw.uniform(15, 45) for _ in range(TASKS)]


def ideal(seconds: list[float]) -> tuple[float, list[tuple[float, int]]]:
    """The makespan, and when how many are busy."""
    free = [AWS.cold_start + AWS.burst_every * (n // AWS.burst) for n in range(WORKERS)]
    heapq.heapify(free)
    changes: list[tuple[float, int]] = []
    for one in seconds:
        begin = heapq.heappop(free)
        heapq.heappush(free, begin + one)
        changes += [(begin, 1), (begin + one, -1)]
    changes.sort()
    busy, points = 0, []
    for moment, change in changes:
        busy += change
        points.append((moment, busy))
    return max(moment for moment, _ in changes), points[:: len(points) // 500]


def run(endpoint_url: str, key: str, transport: str) -> dict[str, Any]:
    session = session_on(endpoint_url, bytes.fromhex(key), workers=WORKERS, transport=transport)
    with results.Stopwatch() as before:
        pass
    with results.Stopwatch() as watch, LambdaExecutor(batch=1, session=session) as executor:
        executor.for_each(time.sleep, durations())
    report = session.report()
    session.close()
    return watch.told(
        before=before.peak, jobs=report.jobs, copies=report.copies, again=report.again
    )


def measure() -> list[str]:
    best, points = ideal(durations())
    rows = [
        f"{TASKS:,} tasks of 15 to 45 s; the ideal schedule takes {best:.1f} s.",
        "",
        (
            "| transport | makespan, s | x ideal | most workers busy | client CPU, ms a job | "
            "client "
            "MB | KB a worker | copies | throttled |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    curves: dict[str, list[tuple[float, int]]] = {"ideal": points}
    for transport in ("queue", "direct"):
        with Simulation(AWS) as simulation:
            key = os.urandom(32).hex()
            simulation.tell("/_function", {"kind": "dolambda", "key": key})
            curve = curves[transport] = []
            over = threading.Event()
            begun = time.monotonic()

            def look(
                simulation: Simulation = simulation,
                curve: Any = curve,
                over: Any = over,
                begun: float = begun,
            ) -> None:
                while not over.wait(1.0):
                    curve.append((time.monotonic() - begun, simulation.seen()["busy"]))

            looking = threading.Thread(target=look)
            looking.start()
            try:
                found = results.apart(
                    "run", endpoint_url=simulation.endpoint_url, key=key, transport=transport
                )
            finally:
                over.set()
                looking.join()
            seen = simulation.seen()
        memory = (found["peak"] - found["before"]) * 1024 / WORKERS
        rows.append(
            f"| {transport} | {found['wall']:.1f} | {found['wall'] / best:.3f} | "
            f"{seen['most_busy']:,} "
            f"| {found['cpu'] / found['jobs'] * 1e3:.2f} | {found['peak']:.0f} | {memory:.0f} | "
            f"{found['copies']} "
            f"| {seen['calls'].get('throttled', 0):,} |"
        )
    return [*rows, "", picture(curves)]


def picture(curves: dict[str, list[tuple[float, int]]]) -> str:
    import matplotlib as mpl  # noqa: PLC0415 - only here

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice above

    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for (name, points), style in zip(
        curves.items(), ("#999999", "#2f5f8f", "#c0504d"), strict=True
    ):
        axes.plot(
            *zip(*points, strict=True),
            color=style,
            label=name,
            linestyle="--" if name == "ideal" else "-",
            drawstyle="steps-post",
        )
    axes.set_xlabel("seconds")
    axes.set_ylabel("workers busy")
    axes.set_title(
        f"{TASKS:,} tasks of 15 to 45 s, up to {WORKERS:,} simulated workers", fontsize=10
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    results.PICTURES.mkdir(exist_ok=True)
    figure.savefig(results.PICTURES / "makespan.svg")
    return "![workers busy over time](pictures/makespan.svg)"


if __name__ == "__main__":
    results.main("Ten thousand workers", measure, run=run)
