"""Thousands of tasks that misbehave at random, against oracles that know what each must become.

`make soak` runs it.

emulated    on the emulated AWS: a seed decides which task returns, raises, prints, ends its
            process, is killed or exceeds its limit
simulated   on the simulated AWS, by either transport: a seed decides which event is lost or
            doubled, which environment dies, which request is refused, which job is slow
polling     a day's polls for replies at the longest pause, one by one: memory must not grow

Every task must have exactly one outcome, the right one, and nothing may be left in the bucket.
--only, --tasks and --seed vary it.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING, Any

from dolambda import LambdaExecutor, register, unregister
from dolambda.errors import TaskTimedOutError, WorkerCrashedError
from dolambda.scheduler import state
from dolambda.transport.queue.client import S3Queue
from support.simulated_aws.behaviour import Behaviour
from support.simulated_aws.oracle import Oracle
from support.simulated_aws.simulation import Simulation

if TYPE_CHECKING:
    from concurrent.futures import Future

FATES = {"return": 90, "raise": 5, "print": 2, "exit": 1, "kill": 1, "overrun": 1}
AWS = Behaviour(cold_start=0.1, concurrency=1000, slower=100.0)
_BOTH = {"killed": 0.05, "s3_503": 0.05, "slow": 0.01}
FAULTS: dict[str, dict[str, Any]] = {
    "queue": {**_BOTH, "lost_events": 0.1, "duplicate_events": 0.1, "s3_cut": 0.02},
    "direct": {**_BOTH, "invoke_500": 0.02, "invoke_cut": 0.02},
}
STORMS: dict[str, dict[str, Any]] = {"queue": {"lost_events": 0.5}, "direct": {"invoke_429": 0.9}}
STORM, LULL = 0.5, 8.0  # seconds of each: the share above, and none of it or what `FAULTS` has
POISON = 5  # tasks that kill their environment each time
HANGS = 300.0  # seconds after which a task that is not done never will be
WARM, EVERY = 10_000, 1000  # looks: before memory is measured; for each task that is answered
MOST_GROWN = 4.0  # MB


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


def emulated(tasks: int, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - repeatable, no secret
    fates = draw.choices(list(FATES), weights=list(FATES.values()), k=tasks)
    session = register("local", requires=(), progress=True, logs=False)
    begun = time.perf_counter()
    try:
        with LambdaExecutor(task_timeout=1.0) as executor:
            futures = [executor.submit(task, number, fate) for number, fate in enumerate(fates)]
        wrong = [
            number
            for number, fate in enumerate(fates)
            if not as_it_should(number, fate, futures[number])
        ]
        assert session.bucket is not None
        left = session.bucket.list("jobs/") + session.bucket.list("outs/")
        report = session.report()
    finally:
        unregister()
    print(
        f"{tasks} tasks in {time.perf_counter() - begun:.0f} s, {report.jobs} jobs, "
        f"{report.resent} tasks sent again"
    )
    print(f"injected: {dict(Counter(fates))}")
    print(f"wrong: {len(wrong)}, left behind: {len(left)}")
    if wrong or left:
        raise SystemExit(f"wrong outcomes, such as {wrong[:10]}; left {left[:10]}")


def count(landed: Counter[int], number: int, _: Future[Any]) -> None:
    landed[number] += 1


def weathered(
    simulation: Simulation, transport: str, futures: list[Future[Any]]
) -> set[Future[Any]]:
    """Wait, with a storm now and then; give the futures that are not done in the end."""
    ends = time.monotonic() + HANGS
    left = set(futures)
    while left and time.monotonic() < ends:
        simulation.behave(**STORMS[transport])
        left = wait(left, STORM).not_done
        simulation.behave(**{name: FAULTS[transport].get(name, 0.0) for name in STORMS[transport]})
        left = wait(left, LULL).not_done
    return left


def simulated(transport: str, tasks: int, seed: int) -> None:
    state._REPLY_GRACE_S = 1.0  # so that what is lost is found within seconds
    oracle = Oracle.drawn(tasks, seed, poison=POISON)
    landed: Counter[int] = Counter()
    with Simulation(AWS) as simulation:
        session = simulation.session(
            workers=1000, transport=transport, max_wait=5, attempts=10, logs=False
        )
        session.runtime = 2.0
        simulation.behave(**FAULTS[transport], seed=seed)
        begun = time.perf_counter()
        executor = LambdaExecutor(session=session, batch=1)
        futures = oracle.submit(executor)
        for number, future in enumerate(futures):
            future.add_done_callback(partial(count, landed, number))
        hanging = weathered(simulation, transport, futures)
        seconds = time.perf_counter() - begun
        if hanging:
            raise SystemExit(
                f"{len(hanging)} of {tasks} tasks hang after {HANGS:.0f} s: {simulation.seen()}"
            )
        executor.shutdown()
        report = session.report()
        wrong = oracle.wrong(futures)
        while simulation.seen()["busy"]:
            time.sleep(0.1)
        seen = simulation.seen()
        session.close()
        simulation.behave(**dict.fromkeys({**FAULTS[transport], **STORMS[transport]}, 0.0))
        assert session.bucket is not None
        left = session.bucket.list("jobs/") + session.bucket.list("outs/")
    lost = tasks - len(landed)
    twice = report.done + report.failed - tasks + sum(times > 1 for times in landed.values())
    print(
        f"{transport}: {tasks} tasks in {seconds:.0f} s, {report.jobs} jobs, {report.again} sent "
        f"again, {report.copies} copies"
    )
    print(f"  tasks: {oracle.injected()}")
    print(f"  faults injected: {seen['faults']}")
    print(
        f"  {lost} lost, {twice} twice, {len(hanging)} hangs, {len(wrong)} wrong, {len(left)} "
        "left behind"
    )
    without = [
        fault
        for fault in {**FAULTS[transport], **STORMS[transport]}
        if not seen["faults"].get(fault)
    ]
    if lost or twice or wrong or left or without:
        raise SystemExit(f"wrong: {wrong[:10]}, left: {left[:10]}, not injected: {without}")


def polling(looks: int) -> None:
    with Simulation(Behaviour(s3_latency=0.0, event_delay=0.0, cold_start=0.0)) as simulation:
        session = simulation.session(
            workers=4, window=8, transport="queue", max_wait=21_600, speculate=False, logs=False
        )
        queue = session.transport
        assert isinstance(queue, S3Queue)
        with LambdaExecutor(session=session, batch=1) as executor:
            simulation.behave(lost_events=1.0)
            never = executor.submit(task, 0, "return")  # whose reply is looked for all day
            while not simulation.seen()["faults"].get("lost_events"):
                time.sleep(0.01)
            simulation.behave(lost_events=0.0)
            begun = time.perf_counter()
            memory = 0.0
            for look in range(looks):
                if look == WARM:
                    memory = peak()
                if look % EVERY == 0:
                    assert executor.submit(task, look, "return").result(HANGS) == 2 * look
                queue._look(queue._waiting.places() - queue._fetching)
            grown = peak() - memory
            assert not never.done()
            executor.shutdown(wait=False, cancel_futures=True)
            session.close()
        lists = simulation.seen()["calls"]["s3:ListBucket"]
    seconds = time.perf_counter() - begun
    print(
        f"polling: {looks / 3600:.0f} h of looks, one a second, in {seconds:.0f} s: {lists} "
        f"LISTs, memory grew by {grown:.1f} MB"
    )
    if grown > MOST_GROWN:
        raise SystemExit(f"memory grew by {grown:.1f} MB after the first {WARM} looks")


def peak() -> float:
    """MB, of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=["emulated", "polling", *FAULTS])
    parser.add_argument("--tasks", type=int, help="of each part")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    logging.getLogger("dolambda").setLevel(
        logging.ERROR
    )  # of each that is sent again there is a warning
    for transport in FAULTS:
        if chosen.only in (None, transport):
            simulated(transport, chosen.tasks or 10_000, chosen.seed)
    if chosen.only in (None, "polling"):
        polling(86_400)
    if chosen.only in (None, "emulated"):
        emulated(chosen.tasks or 5000, chosen.seed)


if __name__ == "__main__":
    main()
