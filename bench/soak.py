"""Thousands of tasks that misbehave at random, on the emulated AWS, against an oracle that knows what each must become.

A seed decides which task returns, raises, prints, ends its process, is killed or overruns its limit. Every task must have
exactly one outcome, the right one, and nothing may be left in the bucket. `make soak` runs it; --tasks and --seed vary it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from dolambda import LambdaExecutor, register, unregister
from dolambda.errors import TaskTimedOutError, WorkerCrashedError

if TYPE_CHECKING:
    from concurrent.futures import Future

FATES = {"return": 90, "raise": 5, "print": 2, "exit": 1, "kill": 1, "overrun": 1}


def task(number: int, fate: str) -> int:
    if fate == "raise":
        raise KeyError(number)
    if fate == "print":
        print("x" * number)
    if fate == "exit":
        os._exit(1)
    if fate == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "overrun":
        time.sleep(30)
    return number * 2


def as_it_should(number: int, fate: str, future: Future[Any]) -> bool:
    error = future.exception()
    if fate in ("return", "print"):
        return error is None and future.result() == number * 2
    if fate == "raise":
        return isinstance(error, KeyError) and error.args == (number,)
    return isinstance(error, TaskTimedOutError if fate == "overrun" else WorkerCrashedError)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)  # noqa: S311 - repeatable, no secret
    fates = draw.choices(list(FATES), weights=list(FATES.values()), k=chosen.tasks)
    session = register("local", requires=(), progress=True, logs=False)
    begun = time.perf_counter()
    try:
        with LambdaExecutor(task_timeout=1.0) as executor:
            futures = [executor.submit(task, number, fate) for number, fate in enumerate(fates)]
        wrong = [number for number, fate in enumerate(fates) if not as_it_should(number, fate, futures[number])]
        assert session.bucket is not None
        left = session.bucket.list("jobs/") + session.bucket.list("outs/")
        report = session.report()
    finally:
        unregister()
    print(f"{chosen.tasks} tasks in {time.perf_counter() - begun:.0f} s, {report.jobs} jobs, {report.resent} tasks sent again")
    print(f"injected: {dict(Counter(fates))}")
    print(f"wrong: {len(wrong)}, left behind: {len(left)}")
    if wrong or left:
        raise SystemExit(f"wrong outcomes, such as {wrong[:10]}; left {left[:10]}")


if __name__ == "__main__":
    main()
