"""Where the time of a task goes: 300 trivial tasks one by one through the queue, the time split
over the stations.

Also: the same tasks batched, and one task alone; beside each, in the same run on the same emulator,
what boto3 takes for the two requests that a job is at the least (a PUT and a GET of as many bytes).
Run it with `make bench`; it prints a table and, with --write, puts it into bench/RESULTS.md under
this machine and today's date.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self

import results
from dolambda import LambdaExecutor, register, unregister
from dolambda.scheduler import replies
from dolambda.transport.queue import client as queue_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.session import Session
    from dolambda.wire.reply import Reply

TASKS = 300


class Stations:
    """When each job passed each station, from the journey's own functions, wrapped while it
    lasts.
    """

    ORDER = ("sent", "put", "run", "found", "fetched", "settled")
    NAMES = (
        "client: PUT job",
        "S3 event, queue, start of worker",
        "worker: run, PUT reply; poller finds it",
        "client: GET reply",
        "client: un-pickle, settle",
    )

    def __init__(self) -> None:
        self.stamps: dict[int, dict[str, float]] = defaultdict(dict)
        self._undo: list[Callable[[], None]] = []

    def watch(
        self,
        place: Any,
        name: str,
        station: str,
        number: Callable[..., int],
        *,
        after: bool = False,
    ) -> None:
        plain = getattr(place, name)

        def wrapped(*args: Any) -> Any:
            if not after:
                self.stamps[number(*args)][station] = time.time()
            answer = plain(*args)
            if after:
                self.stamps[number(*args)][station] = time.time()
            return answer

        setattr(place, name, wrapped)
        self._undo.append(lambda: setattr(place, name, plain))

    def __enter__(self) -> Self:
        queue = queue_client.S3Queue
        self.watch(queue, "send", "sent", lambda _, job, __: job.number)
        self.watch(queue, "_put", "put", lambda _, key, *__: int(key[-9:]))
        self.watch(queue, "_fetch", "found", lambda _, key, __: int(key[-9:]))
        self.watch(queue, "_land", "fetched", lambda _, key, __: int(key[-9:]))
        self.watch(
            replies.ReplyHandler, "_on_reply", "settled", lambda _, number, *__: number, after=True
        )
        plain = replies.ReplyReader._opened

        def opened(self_: replies.ReplyReader, sealed: bytes, number: int) -> Reply:
            reply = plain(self_, sealed, number)
            self.stamps[number]["run"] = reply.usage.started
            self.stamps[number]["ran"] = reply.usage.seconds
            return reply

        setattr(replies.ReplyReader, "_opened", opened)  # noqa: B010 - observed while it runs
        self._undo.append(lambda: setattr(replies.ReplyReader, "_opened", plain))
        return self

    def __exit__(self, *_: object) -> None:
        for put_back in self._undo:
            put_back()

    def means(self) -> dict[str, float]:
        """Milliseconds a job, from station to station."""
        steps = zip(self.NAMES, self.ORDER, self.ORDER[1:], strict=False)
        means = {
            name: statistics.fmean(one[end] - one[begin] for one in self.stamps.values())
            for name, begin, end in steps
        }
        means["of that, worker: run"] = statistics.fmean(one["ran"] for one in self.stamps.values())
        return {name: seconds * 1e3 for name, seconds in means.items()}


def one_by_one() -> tuple[float, dict[str, float], float]:
    """Seconds for `TASKS` jobs of one task; mean milliseconds a job at each station; client CPU
    seconds.
    """
    with LambdaExecutor(batch=1) as executor:
        begun, cpu = time.perf_counter(), time.process_time()
        assert list(executor.map(abs, range(TASKS))) == list(range(TASKS))
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    with (
        Stations() as stations,
        LambdaExecutor(batch=1) as executor,
    ):  # anew: looking takes time too
        assert list(executor.map(abs, range(TASKS))) == list(range(TASKS))
    return wall, stations.means(), cpu


def by_direct(session: Session) -> tuple[float, float, float]:
    """Seconds, and client CPU seconds, for `TASKS` jobs of one task by Invoke; the median of one
    task alone.
    """
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
    """Seconds a job for the requests alone, by boto3, one after the other: a PUT and a GET of 500
    bytes.
    """
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
        wall, split, cpu = one_by_one()
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
    each, kinds = (
        wall / TASKS,
        ", ".join(f"{times} {action}" for action, times in sorted(calls.items()) if times),
    )
    lines = [
        (
            f"- {TASKS} tasks one by one on {session.workers} workers: {wall:.2f} s, "
            f"{each * 1e3:.1f} "
            f"ms a job, {each / floor:.1f} x boto3's"
        ),
        (
            f"  PUT + GET ({floor * 1e3:.1f} ms, in the same run); client CPU "
            f"{cpu / TASKS * 1e3:.2f} "
            "ms a job"
        ),
        (
            f"- {TASKS * 10} tasks batched: {batched:.2f} s, {report.jobs - before.jobs} jobs, "
            f"{sum(calls.values())} AWS calls ({kinds})"
        ),
        (
            f"- one task alone, submit to result: {alone * 1e3:.1f} ms (median), "
            f"{alone / floor:.1f} "
            "x PUT + GET"
        ),
        (
            f"- direct, {TASKS} tasks one by one: {direct[0] / TASKS * 1e3:.1f} ms a job, "
            f"{direct[0] / wall:.2f} x the queue's; client CPU"
        ),
        (
            f"  {direct[1] / TASKS * 1e3:.2f} ms a job; one task alone {direct[2] * 1e3:.1f} ms, "
            f"{direct[2] / alone:.2f} x the queue's"
        ),
        "",
        "| station, one by one | ms a job, mean |",
        "|---|---|",
    ]
    return lines + [f"| {name} | {milliseconds:.2f} |" for name, milliseconds in split.items()]


if __name__ == "__main__":
    results.main("The journey", measure)
