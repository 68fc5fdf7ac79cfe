"""Where the time of a task goes: 300 trivial tasks one by one through the queue, the time split over the stations.

Also: the same tasks batched, and one task alone; beside each, in the same run on the same emulator, what boto3 takes for the
two requests that a job is at the least (a PUT and a GET of as many bytes). Run it with `make bench`; it prints a table and, with
--write, puts it into bench/RESULTS.md under this machine and today's date.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dolambda import LambdaExecutor, register, unregister
from dolambda.dispatch import run as dispatch
from dolambda.transport import s3_queue
from dolambda.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.session import Session
    from dolambda.wire.outcome import Reply

TASKS = 300
RESULTS = Path(__file__).with_name("RESULTS.md")


class Stations:
    """Sums wall time by station, from stamps that the journey's own functions leave when wrapped."""

    def __init__(self) -> None:
        self.stamps: dict[int, dict[str, float]] = defaultdict(dict)
        self.spent: dict[str, list[float]] = defaultdict(list)

    def timed(self, place: Any, name: str, station: str) -> Callable[[], None]:
        """Time each call of a function; give what puts the plain one back."""
        plain = getattr(place, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return plain(*args, **kwargs)
            finally:
                self.spent[station].append(time.perf_counter() - begun)

        setattr(place, name, wrapped)
        return lambda: setattr(place, name, plain)


def one_by_one(session: Session) -> tuple[float, dict[str, float], float]:
    """Seconds for `TASKS` jobs of one task; mean milliseconds a job at each station; client CPU seconds."""
    stations = Stations()
    sent: dict[int, float] = {}
    found: dict[int, float] = {}
    ran: dict[int, tuple[float, float]] = {}
    plain_send, plain_settle = session.transport.send, s3_queue.S3Queue._fetch
    plain_open = dispatch.Run._opened

    def send(job: Any) -> Any:
        sent[job.number] = time.time()
        return plain_send(job)

    def fetch(self: Any, key: str) -> None:
        found[int(key[-9:])] = time.time()
        plain_settle(self, key)

    def opened(self: Any, sealed: bytes, number: int) -> Reply:
        reply = plain_open(self, sealed, number)
        ran[number] = (reply.usage.started, reply.usage.seconds)
        return reply

    session.transport.send = send  # type: ignore[method-assign] # observed while it runs
    s3_queue.S3Queue._fetch = fetch  # type: ignore[method-assign] # as above
    dispatch.Run._opened = opened  # type: ignore[method-assign] # as above
    undo = [
        stations.timed(session.bucket, "put", "client: PUT job"),
        stations.timed(session.bucket, "get", "client: GET reply"),
        stations.timed(session.bucket, "list", "client: LIST (each)"),
        stations.timed(dispatch.Run, "_settle", "client: un-pickle, settle"),
        stations.timed(dispatch.Run, "_send", "client: seal, hand over"),
    ]
    try:
        begun, cpu = time.perf_counter(), time.process_time()
        with LambdaExecutor(batch=1) as executor:
            assert list(executor.map(abs, range(TASKS))) == list(range(TASKS))
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    finally:
        s3_queue.S3Queue._fetch = plain_settle  # type: ignore[method-assign] # put back
        dispatch.Run._opened = plain_open  # type: ignore[method-assign] # put back
        session.transport.send = plain_send  # type: ignore[method-assign] # put back
        for put_back in undo:
            put_back()
    split = {name: statistics.fmean(times) * 1e3 for name, times in stations.spent.items()}
    split["S3 event, queue, start of worker"] = statistics.fmean(ran[n][0] - sent[n] for n in ran) * 1e3 - split["client: PUT job"]
    split["worker: run"] = statistics.fmean(seconds for _, seconds in ran.values()) * 1e3
    split["worker: PUT reply; poller finds it"] = statistics.fmean(found[n] - sum(ran[n]) for n in ran) * 1e3
    return wall, split, cpu


def by_direct(session: Session) -> tuple[float, float, float]:
    """Seconds, and client CPU seconds, for `TASKS` jobs of one task by Invoke; the median of one task alone."""
    with LambdaExecutor(batch=1, transport="direct", session=session) as executor:
        list(executor.map(abs, range(8)))
        begun, cpu = time.perf_counter(), time.process_time()
        assert list(executor.map(abs, range(TASKS))) == list(range(TASKS))
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        latencies = []
        for _ in range(20):
            begun = time.perf_counter()
            executor.submit(abs, 1).result()
            latencies.append(time.perf_counter() - begun)
    return wall, cpu, statistics.median(latencies)


def boto3_floor(session: Session, count: int) -> float:
    """Seconds a job for the requests alone, by boto3, one after the other: a PUT and a GET of 500 bytes."""
    assert session.stack is not None
    from dolambda.local.stack import root  # noqa: PLC0415 - only here

    assert session.instance is not None
    account: Account = root(session.instance, session.settings)[1]
    s3, bucket = account.client("s3"), session.stack.bucket
    begun = time.perf_counter()
    for n in range(count):
        s3.put_object(Bucket=bucket, Key=f"blobs/floor-{n}", Body=b"x" * 500)
        s3.get_object(Bucket=bucket, Key=f"blobs/floor-{n}")["Body"].read()
    return (time.perf_counter() - begun) / count


def measure() -> list[str]:
    session = register("local", requires=(), progress=False)
    try:
        with LambdaExecutor(batch=1) as executor:
            list(executor.map(abs, range(4)))  # workers are warm from here on
        latencies = []
        for _ in range(20):
            with LambdaExecutor() as executor:
                begun = time.perf_counter()
                executor.submit(abs, 1).result()
                latencies.append(time.perf_counter() - begun)
        wall, split, cpu = one_by_one(session)
        before = session.report()
        begun = time.perf_counter()
        with LambdaExecutor() as executor:
            list(executor.map(abs, range(TASKS * 10)))
        batched, report = time.perf_counter() - begun, session.report()
        direct = by_direct(session)
        floor = boto3_floor(session, 50)
    finally:
        unregister()
    alone = statistics.median(latencies)
    calls = {name: report.calls[name] - before.calls.get(name, 0) for name in report.calls}
    each, kinds = wall / TASKS, ", ".join(f"{times} {action}" for action, times in sorted(calls.items()) if times)
    lines = [
        f"- {TASKS} tasks one by one on {session.workers} workers: {wall:.2f} s, {each * 1e3:.1f} ms a job, {each / floor:.1f} x boto3's",
        f"  PUT + GET ({floor * 1e3:.1f} ms, in the same run); client CPU {cpu / TASKS * 1e3:.2f} ms a job",
        f"- {TASKS * 10} tasks batched: {batched:.2f} s, {report.jobs - before.jobs} jobs, {sum(calls.values())} AWS calls ({kinds})",
        f"- one task alone, submit to result: {alone * 1e3:.1f} ms (median), {alone / floor:.1f} x PUT + GET",
        f"- direct, {TASKS} tasks one by one: {direct[0] / TASKS * 1e3:.1f} ms a job, {direct[0] / wall:.2f} x the queue's; client CPU",
        f"  {direct[1] / TASKS * 1e3:.2f} ms a job; one task alone {direct[2] * 1e3:.1f} ms, {direct[2] / alone:.2f} x the queue's",
        "",
        "| station, one by one | ms a job, mean |",
        "|---|---|",
    ]
    return lines + [f"| {name} | {milliseconds:.2f} |" for name, milliseconds in split.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="keep the figures in bench/RESULTS.md")
    write = parser.parse_args().write
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    lines = [f"## The journey, {datetime.now(UTC):%Y-%m-%d}, dolambda {VERSION}", "", f"`make bench` on {machine}", "", *measure(), ""]
    print("\n".join(lines))
    if write:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
