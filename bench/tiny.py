"""Many tiny tasks, beside loky in the same run: client CPU, worker CPU and wall time a task.

    python bench/tiny.py [--write]

Rows are `LambdaExecutor.map`, foreach, joblib on dolambda and single `submit` calls, on AWS
emulated here with two workers. All ratios are to ``joblib.Parallel(2)`` on loky with the same
tasks. The floors stand beside them: pickling, loading and calling a task, and what joblib itself
takes, with a backend that runs nothing. Workers' CPU is that of their processes, as /proc counts
it.
"""

from __future__ import annotations

import gc
import os
import pickle
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import joblib
import numpy as np
from joblib.parallel import ParallelBackendBase

import results
from dolambda import LambdaExecutor, foreach, register, unregister
from dolambda.scheduler.batching import MAX_TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MANY, MORE = 100_000, 1_000_000
_TICKS = os.sysconf("SC_CLK_TCK")


def increment(i: int) -> int:
    return i + 1


def total(array: Any) -> float:
    return float(array[0])


def workers_cpu() -> float:
    """Seconds of CPU that the workers of this program's emulated AWS have taken, ended children
    included.
    """
    parents, seconds = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        number = int(process.name)
        parents[number] = int(fields[1])
        if b"awslambdaric" in command:
            seconds[number] = sum(map(int, fields[11:15])) / _TICKS
    return sum(some for number, some in seconds.items() if os.getpid() in above(number, parents))


def above(process: int, parents: Mapping[int, int]) -> set[int]:
    """The processes that a process descends from."""
    found = set()
    while process := parents.get(process, 0):
        found.add(process)
    return found


class Figures:
    """Wall time, client CPU and worker CPU of one way to run tasks."""

    def __init__(self, tasks: int, run: Callable[[], Any], expected: Any) -> None:
        gc.collect()
        before = workers_cpu()
        with results.Stopwatch() as watch:
            found = run()
        assert found == expected
        self.wall, self.client = watch.wall, watch.cpu / tasks * 1e6
        self.worker = (workers_cpu() - before) / tasks * 1e6


class Nothing(ParallelBackendBase):  # type: ignore[misc] # joblib has no types
    """A backend of joblib that calls no function: what is measured is joblib."""

    supports_retrieve_callback = True

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return two, as in all rows."""
        return 2 if n_jobs else 1

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_options: Any) -> int:
        """Start the thread that completes batches, as a reply does."""
        self.parallel = parallel
        self._pool = ThreadPoolExecutor(1)
        return self.effective_n_jobs(n_jobs)

    def submit(self, func: Any, callback: Callable[[Any], None]) -> Future[list[int]]:
        """Give each task of a batch its number in it."""
        batch: Future[list[int]] = Future()
        batch.add_done_callback(callback)
        self._pool.submit(batch.set_result, list(range(len(func.items))))
        return batch

    apply_async = submit

    def retrieve_result_callback(self, out: Future[list[int]]) -> list[int]:
        """Return a batch's results."""
        return out.result()

    def compute_batch_size(self) -> int:
        """Return dolambda's largest batch."""
        return MAX_TASKS

    def terminate(self) -> None:
        """End the thread."""
        self._pool.shutdown()


def of_joblib(tasks: int, ours: Figures, loky: Figures) -> str:
    """Measure joblib with `Nothing`. It makes a batch while nothing else of it runs."""
    joblib.register_parallel_backend("nothing", Nothing)
    call = joblib.delayed(increment)
    gc.collect()
    with joblib.parallel_config("nothing", n_jobs=2), results.Stopwatch() as watch:
        found = joblib.Parallel()(call(i) for i in range(tasks))
    assert len(found) == tasks
    own = watch.cpu / tasks * 1e6
    wall, cpu = (watch.wall + ours.wall) / loky.wall, (own + ours.client) / loky.client
    return (
        f"joblib itself: {watch.wall:.2f} s, {own:.2f} us of client CPU a task."
        f" With `LambdaExecutor.map` after it: {wall:.2f} x loky's wall time and {cpu:.2f} x its "
        "client CPU"
    )


def floor(tasks: int) -> float:
    """Microseconds of CPU to pickle, load and call, and the same for the result."""
    with results.Stopwatch() as watch:
        for i in range(tasks):
            (given,) = pickle.loads(pickle.dumps((i,), 5))  # noqa: S301 - made here
            pickle.loads(pickle.dumps(increment(given), 5))  # noqa: S301 - made here
    return watch.cpu / tasks * 1e6


def of_submit(tasks: int = 5_000) -> list[str]:
    """CPU of the thread that submits, beside the process pool's. What others have left is collected
    before each.
    """
    with ProcessPoolExecutor(2) as pool:
        pool.submit(increment, 1).result()
        gc.collect()
        begun = time.thread_time()
        futures = [pool.submit(increment, i) for i in range(tasks)]
        theirs = (time.thread_time() - begun) / tasks * 1e6
        [future.result() for future in futures]
    gc.collect()
    begun = time.thread_time()
    for _ in range(tasks):
        cloudpickle.dumps(increment)
    pickled = (time.thread_time() - begun) / tasks * 1e6
    with LambdaExecutor() as executor:
        executor.submit(increment, 1).result()
        gc.collect()
        begun = time.thread_time()
        futures = [executor.submit(increment, i) for i in range(tasks)]
        ours = (time.thread_time() - begun) / tasks * 1e6
        assert [future.result() for future in futures] == list(range(1, tasks + 1))
    allowed = theirs / 2 + pickled
    figures = f"{ours:.1f} us; ProcessPoolExecutor {theirs:.1f}, cloudpickle.dumps {pickled:.1f}"
    ratio = f"{ours / allowed:.2f} x half of the one plus the other"
    return ["", f"CPU of `submit`: {figures}; {ratio}"]


def row(name: str, figures: Figures, loky: Figures) -> str:
    return (
        f"| {name} | {figures.wall:.2f} s | {figures.wall / loky.wall:.2f} | {figures.client:.2f} "
        "us | "
        f"{figures.client / loky.client:.2f} | {figures.worker:.2f} us | "
        f"{figures.worker / loky.client:.2f} |"
    )


def rows(tasks: int) -> list[str]:
    expected = list(range(1, tasks + 1))
    call = joblib.delayed(increment)

    def on(backend: str) -> Any:
        with joblib.parallel_config(backend, n_jobs=2):
            return joblib.Parallel()(call(i) for i in range(tasks))

    def mapped() -> Any:
        with LambdaExecutor() as executor:
            return list(executor.map(increment, range(tasks)))

    def looped() -> Any:
        return foreach(i=range(tasks)).dopar(increment)

    loky = Figures(tasks, lambda: on("loky"), expected)
    ways = [("loky", loky)]
    for name, run in (
        ("`LambdaExecutor.map`", mapped),
        ("foreach", looped),
        ("joblib", lambda: on("dolambda")),
    ):
        ways.append((name, Figures(tasks, run, expected)))
    return [
        "",
        f"{tasks:,} tasks; floor {floor(tasks):.2f} us",
        "",
        "| | wall | x loky | client CPU a task | x loky | worker CPU a task | x loky's client |",
        "|---|---|---|---|---|---|---|",
        *[row(name, figures, loky) for name, figures in ways],
        "",
        of_joblib(tasks, ways[1][1], loky),
        *of_recording(loky),
    ]


def of_recording(loky: Figures) -> list[str]:
    """What recording takes of that, see report_page.py, in jobs of so many tasks."""
    taken = {tasks: 1e6 * results.apart("recording", tasks=tasks)["s"] for tasks in (100, 1000)}
    return [
        f"Recording, in jobs of {tasks:,}: {each:.2f} us a task, {each / loky.client:.2f} x loky's"
        " client CPU (at most 0.33)"
        for tasks, each in taken.items()
    ]


def recording(tasks: int) -> dict[str, Any]:
    """Return the seconds a task. Apart: what this imports would travel with the other tasks."""
    from report_page import seconds_to_record  # noqa: PLC0415 - see above

    return {"s": seconds_to_record(tasks)}


def arrays(tasks: int = 20_000) -> list[str]:
    """Tasks with an array of 1 KB each."""
    inputs = [np.full(128, float(i)) for i in range(tasks)]
    expected = [float(i) for i in range(tasks)]
    call = joblib.delayed(total)

    def on(backend: str) -> Any:
        with joblib.parallel_config(backend, n_jobs=2):
            return joblib.Parallel()(call(one) for one in inputs)

    def mapped() -> Any:
        with LambdaExecutor() as executor:
            return list(executor.map(total, inputs))

    loky = Figures(tasks, lambda: on("loky"), expected)
    ours = {"`LambdaExecutor.map`": Figures(tasks, mapped, expected)}
    ours["joblib"] = Figures(tasks, lambda: on("dolambda"), expected)
    return [
        "",
        f"{tasks:,} tasks with an array of 1 KB each: loky {loky.wall:.2f} s",
        *[
            f"- {name}: {one.wall:.2f} s, {one.wall / loky.wall:.2f} x"
            for name, one in ours.items()
        ],
    ]


def measure() -> list[str]:
    register("local", requires=("joblib", "numpy"), workers=2, progress=False)
    with joblib.parallel_config("loky", n_jobs=2):
        joblib.Parallel()(joblib.delayed(increment)(i) for i in range(1000))
    with LambdaExecutor() as executor:
        list(executor.map(increment, range(1000)))
    lines = [*rows(MANY), *rows(MORE), *arrays(), *of_submit()]
    unregister()
    return lines


if __name__ == "__main__":
    results.main("Tiny tasks", measure, recording=recording)
