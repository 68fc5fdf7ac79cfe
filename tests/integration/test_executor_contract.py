"""What code written for other executors and for joblib expects besides results: errors, output,
progress, threads, exits.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import operator
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
from tqdm.auto import tqdm
from tqdm.contrib.concurrent import thread_map

from dolambda import LambdaExecutor, Retries, register, unregister
from dolambda.errors import ConfigurationError, LostError, OutOfMemoryError
from support import programs
from support.user_module import nap, say_much

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.aws.account import Credentials
    from dolambda.scheduler.report import Report
    from dolambda.session import Session
    from dolambda.settings import Settings


@pytest.fixture
def registered(deployed: tuple[Settings, Credentials]) -> Iterator[Any]:
    """`register` on the test's stack, with what a test adds."""
    settings, credentials = deployed

    def again(**more: Any) -> Session:
        where = {
            "region": settings.region,
            "endpoint_url": settings.endpoint_url,
            "progress": False,
        }
        return register(key=credentials.key, secret=credentials.secret, **(where | more))

    yield again
    unregister()
    gc.collect()


# concurrent.futures


@pytest.mark.usefixtures("session")
def test_map_gives_exceptions_in_their_places_and_results_as_they_come() -> None:
    with LambdaExecutor(batch=1) as executor:
        found = list(executor.map(operator.truediv, [1, 1, 4], [1, 0, 2], return_exceptions=True))
        assert [found[0], found[2]] == [1.0, 2.0]
        assert isinstance(found[1], ZeroDivisionError)
        executor.submit(time.sleep, 0).result(30)  # a worker is warm
        came = list(executor.map(nap, [1.5, 0.0, 0.0, 0.0], order_outputs=False))
        assert sorted(came) == [0.0, 0.0, 0.0, 1.5]
        assert came[-1] == 1.5
        with pytest.raises(ZeroDivisionError):
            list(executor.map(operator.truediv, [1] * 4, [1, 0, 1, 1], order_outputs=False))
        with pytest.raises(TimeoutError):
            list(executor.map(nap, [5.0], timeout=0.1, order_outputs=False))


def test_retries_run_a_failed_task_again(session: Session, tmp_path: Path) -> None:
    def flaky(i: int, folder: str) -> int:
        tries = Path(folder, str(i))
        tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
        if len(tries.read_text()) < 3 and i % 2:
            raise ConnectionError(i)
        return i

    with LambdaExecutor(retries=Retries(2, on=OSError, wait=0.01)) as executor:
        assert list(executor.map(flaky, range(6), [str(tmp_path)] * 6)) == list(range(6))
        assert executor.report.retried == 6
    (tmp_path / "again").mkdir()
    with joblib.parallel_config("dolambda", retries=1), pytest.raises(ConnectionError):
        joblib.Parallel(n_jobs=-1)(
            joblib.delayed(flaky)(i, str(tmp_path / "again")) for i in (1, 3)
        )
    assert session.report().failed >= 1


@pytest.mark.usefixtures("session")
def test_out_of_memory_says_what_was_used_and_what_there_is_and_neighbours_go_on() -> None:
    with LambdaExecutor() as executor:
        hoarding = executor.submit(bytes.__mul__, b"x", 3 << 30)
        modest = executor.submit(len, b"x" * 10)
        with pytest.raises(
            OutOfMemoryError,
            match=r"it had used 1,[67]\d\d of the worker's 1,769 MB when it needed more\n"
            r"  Deploy the stack with more",
        ) as caught:
            hoarding.result(60)
        assert isinstance(caught.value, LostError)
        assert modest.result(60) == 10


@pytest.mark.usefixtures("session")
def test_a_hundred_submits_from_ten_threads_at_once() -> None:
    found: list[int] = []
    start = threading.Barrier(10)
    with LambdaExecutor() as executor:

        def use(base: int) -> None:
            start.wait()
            futures = [executor.submit(pow, base + i, 2) for i in range(10)]
            found.extend(future.result(60) for future in futures)

        threads = [threading.Thread(target=use, args=(10 * n,)) for n in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
    assert sorted(found) == [i * i for i in range(100)]


@pytest.mark.usefixtures("session")
def test_tqdm_and_asyncio_take_it_for_any_executor() -> None:
    with LambdaExecutor() as executor:
        assert list(tqdm(executor.map(len, ["a", "bc"]), total=2, disable=True)) == [1, 2]

        async def ask() -> list[int]:
            loop = asyncio.get_running_loop()
            wrapped = asyncio.wrap_future(executor.submit(len, "abc"))
            return list(await asyncio.gather(wrapped, loop.run_in_executor(executor, len, "abcd")))

        assert asyncio.run(ask()) == [3, 4]
        assert thread_map(
            lambda text: executor.submit(len, text).result(60), ["a", "bc"], disable=True
        ) == [1, 2]


SCRIPT = """
import time, sys
import dolambda
from dolambda import LambdaExecutor

class Point:
    def __init__(self, x): self.x = x
    def double(self): return Point(2 * self.x)

def work(point): return point.double()

if __name__ == "__main__":
    executor = LambdaExecutor()
    print([point.x for point in executor.map(work, map(Point, range(3)))], flush=True)
    left = [executor.submit(time.sleep, {nap}) for _ in range(2)]   # no shutdown, no with: the interpreter just ends
    left[-1].add_done_callback(lambda done: print("cancelled" if done.cancelled() or done.exception() else "done", flush=True))
    {end}
"""


@pytest.mark.parametrize(
    ("end", "code"), [("pass", 0), ("raise SystemExit(3)", 3), ("raise ValueError('x')", 1)]
)
def test_a_script_with_a_main_guard_ends_by_itself(
    end: str, code: int, tmp_path: Path, deployed: tuple[Settings, Credentials]
) -> None:
    settings, credentials = deployed
    script = tmp_path / "script.py"
    script.write_text(
        SCRIPT.replace("{end}", end).replace("{nap}", "3" if code == 1 else "0.1")
    )  # at 2 s a worker looks who waits
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": credentials.key or "",
        "AWS_SECRET_ACCESS_KEY": credentials.secret or "",
        "DOLAMBDA_ENDPOINT_URL": settings.endpoint_url or "",
        "DOLAMBDA_REGION": settings.region or "",
        "DOLAMBDA_LOGS": "false",
    }
    ended = programs.run(str(script), timeout=100, env=environment)
    assert ended.returncode == code, ended.stderr
    assert "[0, 2, 4]" in ended.stdout
    assert (
        "cancelled" if code == 1 else "done"
    ) in ended.stdout  # a program that failed has its tasks cancelled
    assert "Traceback" not in ended.stderr or code == 1


# What tasks print, log and warn


@pytest.mark.parametrize(("logs", "heard"), [("relay", [0, 1]), ("errors", [1]), (False, [])])
def test_what_tasks_say_is_shown_as_chosen(
    registered: Any, capsys: pytest.CaptureFixture[str], logs: Any, heard: list[int]
) -> None:
    registered(logs=logs)
    before = logging.root.level
    logging.root.setLevel(logging.INFO)
    try:
        with LambdaExecutor(batch=1) as executor:
            said = [executor.submit(say_much, fail) for fail in (False, True)]
            assert [bool(future.exception(30)) for future in said] == [False, True]
    finally:
        logging.root.setLevel(before)
    out = capsys.readouterr().out
    for task in (0, 1):
        lines = [line for line in out.splitlines() if line.startswith(f"[task {task}]")]
        assert bool(lines) == (task in heard)
        if lines:
            assert lines[0] == f"[task {task}] printed"
            assert lines[1] == f"[task {task}] INFO:mine:logged"
    warned = [line for line in out.splitlines() if "UserWarning: warned" in line]
    # The first with its task, the other as its count.
    assert [line.startswith("[task ") for line in warned] == [True, False][: len(heard)]


def test_a_chatty_task_is_cut_short(registered: Any, capsys: pytest.CaptureFixture[str]) -> None:
    registered()
    with LambdaExecutor() as executor:
        executor.submit(print, "x" * 100 + "\n" * 100_000).result(30)
    assert "bytes more were printed and are not shown" in capsys.readouterr().out


# Progress


def test_progress_may_be_a_function_of_reports_and_its_errors_do_no_harm(
    registered: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[Report] = []
    registered(progress=reports.append)
    assert joblib.Parallel(n_jobs=-1)(joblib.delayed(len)("a" * i) for i in range(20)) == list(
        range(20)
    )
    last = reports[-1]
    assert (last.tasks, last.done, last.failed, last.over) == (20, 20, 0, True)
    assert last.cost > 0
    assert last.rate > 0
    assert [report.done for report in reports] == sorted(report.done for report in reports)

    def broken(_: Report) -> None:
        raise ValueError("no display")

    with LambdaExecutor(progress=broken) as executor:
        assert executor.submit(len, "a").result(30) == 1
    assert "raised; the run continues" in caplog.text


# joblib


@pytest.mark.usefixtures("session")
def test_hints_are_followed() -> None:
    seen: list[int] = []
    joblib.Parallel(n_jobs=2, require="sharedmem")(joblib.delayed(seen.append)(i) for i in range(5))
    assert sorted(seen) == list(range(5))
    pids = set(
        joblib.Parallel(n_jobs=2, prefer="processes")(joblib.delayed(os.getpid)() for _ in range(5))
    )
    assert os.getpid() not in pids
    assert (
        joblib.Parallel(n_jobs=1)(joblib.delayed(os.getpid)() for _ in range(2))
        == [os.getpid()] * 2
    )


@pytest.mark.usefixtures("session")
def test_n_jobs_is_the_width() -> None:
    def span() -> tuple[float, float]:
        begun = time.time()
        time.sleep(0.3)
        return begun, time.time()

    joblib.Parallel(n_jobs=2)(joblib.delayed(span)() for _ in range(4))  # both workers are warm
    with joblib.parallel_config("dolambda", batch=1):
        spans = joblib.Parallel(n_jobs=2)(joblib.delayed(span)() for _ in range(6))
    edges = sorted([(begun, 1) for begun, _ in spans] + [(ended, -1) for _, ended in spans])
    at_once = [sum(step for _, step in edges[: place + 1]) for place in range(len(edges))]
    assert max(at_once) <= 2


@pytest.mark.usefixtures("session")
def test_nested_calls_run_in_the_worker_even_when_they_name_us() -> None:
    def outer(i: int) -> list[tuple[int, bool]]:
        pid = os.getpid()
        nested = joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(2))
        with joblib.parallel_config("dolambda", n_jobs=2):
            nested += joblib.Parallel(n_jobs=-1)(joblib.delayed(os.getpid)() for _ in range(2))
        return [(i, other == pid) for other in nested]

    assert joblib.Parallel(n_jobs=-1)(joblib.delayed(outer)(i) for i in range(3)) == [
        [(i, True)] * 4 for i in range(3)
    ]


@pytest.mark.usefixtures("session")
def test_a_pool_used_again_sends_what_an_array_holds_now() -> None:
    for size in (100, 1000, 4000, 20_000):
        array = np.zeros(size)
        with joblib.Parallel(n_jobs=-1) as pool:
            for round_ in range(3):
                assert pool(joblib.delayed(np.max)(array) for _ in range(2)) == [round_, round_]
                array += 1


@pytest.mark.usefixtures("session")
def test_threads_in_a_worker_are_as_many_as_asked_for() -> None:
    def threads() -> str:
        return os.environ["OMP_NUM_THREADS"]

    assert joblib.Parallel(n_jobs=-1)(joblib.delayed(threads)() for _ in range(2)) == ["1", "1"]
    with joblib.parallel_config("dolambda", inner_max_num_threads=3):
        assert joblib.Parallel(n_jobs=-1)(joblib.delayed(threads)() for _ in range(2)) == ["3", "3"]


@pytest.mark.usefixtures("session")
def test_an_initializer_runs_once_in_each_process_before_its_tasks() -> None:
    def prepare(value: str) -> None:
        os.environ["PREPARED"] = os.environ.get("PREPARED", "") + value

    def prepared() -> str:
        return os.environ["PREPARED"]

    with joblib.parallel_config("dolambda", initializer=prepare, initargs=("x",)):
        assert set(joblib.Parallel(n_jobs=-1)(joblib.delayed(prepared)() for _ in range(10))) == {
            "x"
        }


def test_unregister_puts_back_what_was_the_default_before(registered: Any) -> None:
    before = joblib.parallel.DEFAULT_BACKEND
    registered()
    registered()
    assert joblib.parallel.DEFAULT_BACKEND == "dolambda-registered"
    unregister()
    assert before == joblib.parallel.DEFAULT_BACKEND


def test_joblib_knows_the_name_as_soon_as_dolambda_is_imported() -> None:
    for order in (
        "import dolambda, joblib",
        "import joblib, dolambda",
        "import dolambda; from joblib import parallel_config; import joblib",
    ):
        code = (
            f"{order}\nassert 'dolambda.session' not in __import__('sys').modules\n"
            "with joblib.parallel_config('dolambda', n_jobs=2):\n"
            "    print(joblib.Parallel(n_jobs=-1)(joblib.delayed(len)('a' * i) for i in range(3)))"
        )
        environment = os.environ | {"DOLAMBDA_TRANSPORT": "in_process", "DOLAMBDA_WORKERS": "2"}
        ended = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
        )
        assert ended.stdout == "[0, 1, 2]\n", ended.stderr


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("wrong", [{"retries": -1}, {"retries": "twice"}])
def test_wrong_options_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="retries"):
        LambdaExecutor(**wrong)
    with pytest.raises(ConfigurationError, match="batch=-1 is not a whole number greater than 0"):
        joblib.parallel_config("dolambda", batch=-1)
