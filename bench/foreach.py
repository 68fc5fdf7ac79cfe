"""A million tasks combined by "+": memory at a tenth of the way and at the end, CPU a task, against
a plain loop in the same run.

python bench/foreach.py [tasks]
"""

from __future__ import annotations

import resource
import sys
import time
from typing import TYPE_CHECKING

from dolambda import foreach, register, unregister

if TYPE_CHECKING:
    from collections.abc import Iterator

TASKS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
AT: list[tuple[int, float]] = []


def peak() -> float:
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def numbers() -> Iterator[int]:
    for i in range(TASKS):
        if i % (TASKS // 10) == 0:
            AT.append((i, peak()))
        yield i


if __name__ == "__main__":
    session = register("local", requires=(), progress=False)
    foreach(i=range(1000), combine="+").dopar(lambda i: i)
    begun, cpu = time.perf_counter(), time.process_time()
    total = foreach(i=numbers(), combine="+").dopar(lambda i: i)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    report = session.report()
    unregister()
    begun = time.perf_counter()
    assert total == sum((lambda i: i)(i) for i in range(TASKS))  # noqa: PLC3002 - a call a task
    plain = time.perf_counter() - begun
    print(
        f"- {TASKS:,} tasks, combine='+': {seconds:.0f} s, {report.jobs} jobs, "
        f"{sum(report.calls.values())} AWS calls"
    )
    print(
        f"- client CPU {cpu / TASKS * 1e6:.0f} us a task; a plain loop of calls takes "
        f"{plain / TASKS * 1e6:.2f}"
    )
    print(
        "- peak memory, MB, at each tenth:",
        " ".join(f"{mb:.0f}" for _, mb in AT),
        f"and {peak():.0f} at the end",
    )
