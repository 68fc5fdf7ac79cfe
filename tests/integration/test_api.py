"""joblib, executor and foreach through real boto3, IAM and the real Lambda runtime client."""

from __future__ import annotations

import gc
import operator
import os
import threading
import time
from concurrent.futures import as_completed, wait
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest

import dolambda
from dolambda import LambdaExecutor, do, dopar, foreach, get_backend
from dolambda.errors import (
    ConfigurationError,
    NotPicklableError,
    TaskError,
    TaskTimedOutError,
    WorkerCrashedError,
)
from support import user_module

if TYPE_CHECKING:
    from dolambda.session import Session


def test_the_seeds_own_example(session: Session) -> None:
    b = 12
    assert foreach(i=range(1, 11)) % dopar % (lambda i: i * 3 * b) == [
        36,
        72,
        108,
        144,
        180,
        216,
        252,
        288,
        324,
        360,
    ]
    assert session.report().done == 10


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("way", [do, dopar], ids=["do", "dopar"])
@pytest.mark.parametrize(
    ("loop", "expected"),
    [
        ({"combine": "+"}, 285),
        ({"combine": operator.mul, "init": 7}, 0),
        ({"combine": "c", "final": sum}, 285),
        ({"combine": lambda *values: list(values), "multicombine": True, "maxcombine": 4}, None),
        ({"combine": "max", "inorder": False}, 81),
    ],
    ids=["sum", "operator", "final", "arity", "unordered"],
)
def test_foreach_combines(way: Any, loop: dict[str, Any], expected: Any) -> None:
    result = foreach(i=range(10), **loop) % way % (lambda i: i * i)
    assert (
        result == expected
        if expected is not None
        else result == [[[0, 1, 4, 9], 16, 25, 36], 49, 64, 81]
    )


@pytest.mark.usefixtures("session")
def test_foreach_zips_to_the_shortest_and_passes_what_is_asked_for() -> None:
    assert foreach(range(3), i=range(5), j=["", "b"][1:] * 9).dopar(lambda i: i) == [0, 1, 2]


@pytest.mark.usefixtures("session")
def test_foreach_errors() -> None:

    def odd(i: int) -> int:
        if i % 2:
            raise KeyError(i)
        return i

    with pytest.raises(TaskError, match=r"task 1 \(i=1\) raised KeyError: 1") as caught:
        foreach(i=range(3)).dopar(odd)
    assert caught.value.index == (1,)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(
        TaskError
    ) as caught:  # of several the one that arrives first, as workers have it
        foreach(i=range(6)).dopar(odd)
    assert caught.value.index in {(1,), (3,), (5,)}
    assert isinstance(caught.value.__cause__, KeyError)
    assert foreach(i=range(6), errors="remove").dopar(odd) == [0, 2, 4]
    passed = foreach(i=range(3), errors="pass").dopar(odd)
    assert [type(result) for result in passed] == [int, KeyError, int]


def test_registered_it_is_the_backend_of_both(session: Session) -> None:
    backend = get_backend()
    assert (backend.name, backend.workers) == ("dolambda", session.workers)
    assert joblib.effective_n_jobs() == session.workers
    pids = joblib.Parallel(n_jobs=-1)(joblib.delayed(os.getppid)() for _ in range(20))
    assert os.getpid() not in pids
    assert session.report().done == 20
    with joblib.parallel_config("loky", n_jobs=2):
        joblib.Parallel(n_jobs=-1)(joblib.delayed(len)("a") for _ in range(4))
    assert session.report().done == 20
    with joblib.parallel_config("dolambda"):
        joblib.Parallel(n_jobs=2)(joblib.delayed(len)("a") for _ in range(4))
    assert session.report().done == 24


def test_joblib_shares_an_array_and_gives_it_read_only(session: Session) -> None:
    array = np.random.default_rng(0).random((500, 500))

    def look(x: Any, i: int) -> tuple[float, bool]:
        return float(x[i].sum()), x.flags.writeable

    found = joblib.Parallel(n_jobs=-1)(joblib.delayed(look)(array, i) for i in range(40))
    assert found == [(float(array[i].sum()), False) for i in range(40)]
    # A copy.
    blobs = [name for name in session.bucket.list("blobs/")] if session.bucket else []  # noqa: C416
    assert blobs


@pytest.mark.usefixtures("session")
def test_joblib_generators_and_errors() -> None:
    lazily = joblib.Parallel(n_jobs=-1, return_as="generator")(
        joblib.delayed(pow)(i, 2) for i in range(30)
    )
    assert list(lazily) == [i * i for i in range(30)]
    unordered = joblib.Parallel(n_jobs=-1, return_as="generator_unordered")(
        joblib.delayed(pow)(i, 2) for i in range(30)
    )
    assert sorted(unordered) == [i * i for i in range(30)]
    with pytest.raises(ZeroDivisionError):
        joblib.Parallel(n_jobs=-1)(joblib.delayed(operator.truediv)(1, i - 5) for i in range(30))
    with pytest.raises(NotPicklableError):
        joblib.Parallel(n_jobs=-1)(joblib.delayed(len)(threading.Lock()) for _ in range(3))
    assert joblib.Parallel(n_jobs=-1)(joblib.delayed(len)("abc") for _ in range(3)) == [3, 3, 3]


@pytest.mark.usefixtures("session")
def test_executor_does_what_an_executor_does() -> None:
    with LambdaExecutor() as executor:
        futures = [executor.submit(pow, i, 2) for i in range(20)]
        assert {future.result(30) for future in as_completed(futures, 30)} == {
            i * i for i in range(20)
        }
        assert wait(futures).not_done == set()
        assert list(executor.map(pow, range(5), range(5), timeout=30)) == [1, 1, 4, 27, 256]
        assert list(executor.starmap(pow, [(2, 3), (3, 2)])) == [8, 9]
        executor.for_each(print, ["for its effect"])
        endless = executor.map(user_module.times_factor, iter(int, 1), buffersize=4)
        assert [next(endless) for _ in range(8)] == [0] * 8
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(pow, 1, 1)


@pytest.mark.usefixtures("session")
def test_a_value_error_is_a_value_error_with_the_remote_traceback_visible() -> None:

    def deep() -> None:
        raise ValueError("not that")

    with LambdaExecutor() as executor, pytest.raises(ValueError, match="not that") as caught:
        executor.submit(deep).result(30)
    assert "in deep" in str(caught.value.__cause__)


def test_a_crash_is_seen_long_before_the_functions_time_limit(session: Session) -> None:
    begun = time.monotonic()
    with LambdaExecutor() as executor, pytest.raises(WorkerCrashedError, match="exit code 1"):
        executor.submit(lambda: os._exit(1)).result(30)
    assert time.monotonic() - begun < session.runtime / 2


@pytest.mark.usefixtures("session")
def test_a_task_past_its_limit_is_stopped() -> None:
    with (
        LambdaExecutor(task_timeout=0.5) as executor,
        pytest.raises(TaskTimedOutError, match="at its time limit") as caught,
    ):
        executor.submit(time.sleep, 20).result(30)
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.usefixtures("session")
def test_own_modules_travel() -> None:
    assert joblib.Parallel(n_jobs=-1)(
        joblib.delayed(user_module.times_factor)(i) for i in range(5)
    ) == [
        0,
        12,
        24,
        36,
        48,
    ]


@pytest.mark.usefixtures("session")
def test_what_tasks_print_is_shown_here_by_task(capsys: pytest.CaptureFixture[str]) -> None:
    with LambdaExecutor() as executor:
        executor.submit(print, "hello\nthere").result(30)
    assert "[task 0] hello\n[task 0] there\n" in capsys.readouterr().out


@pytest.mark.usefixtures("session")
def test_a_warning_of_many_tasks_is_shown_once_with_its_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def warn(_: int) -> None:
        print("/home/me/fit.py:6: UserWarning: this is odd\n  warnings.warn('this is odd')")

    with LambdaExecutor(batch=5) as executor:
        list(executor.map(warn, range(30)))
    written = capsys.readouterr().out
    assert written.count("UserWarning: this is odd") == 2
    assert written.count("warnings.warn(") == 1
    assert "[29 more times] /home/me/fit.py:6: UserWarning: this is odd\n" in written


@pytest.mark.usefixtures("session")
def test_two_runs_at_once_and_many_threads() -> None:
    found: list[int] = []

    def use(base: int) -> None:
        with LambdaExecutor() as executor:
            found.extend(executor.map(pow, range(base, base + 10), [2] * 10))

    threads = [threading.Thread(target=use, args=(10 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [i * i for i in range(40)]


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (lambda: foreach(), "nothing to iterate over"),
        (lambda: foreach(i="abc"), "i='abc' is not something to iterate over"),
        # The mistake.
        (lambda: foreach(i=7), "i=7 is not something to iterate over"),  # type: ignore[arg-type]
        (lambda: foreach(i=[1], init=1), "init= was given without combine="),
        (lambda: foreach(i=[1], combine="nope"), "combine='nope' is not a way to combine"),
        (lambda: foreach(i=[1], maxcombine=1), "maxcombine=1 is less than 2"),
        # The mistake.
        (lambda: foreach(i=[1], errors="ignore"), "errors='ignore' is none of"),  # type: ignore[arg-type]
        (
            lambda: foreach(i=[1]) % 3,
            "only % do, % dopar, % foreach(...) and % when(...) can follow",
        ),
        (lambda: foreach(i=[1]) % do % 3, "which is not a function"),
        (lambda: LambdaExecutor(0), "max_workers must be greater than 0"),
        (lambda: LambdaExecutor().map(len, ["a"], buffersize=0), "buffersize must be >= 1"),
        (lambda: LambdaExecutor().map(len, ["a"], chunksize=0), "chunksize must be >= 1"),
    ],
)
def test_mistakes_are_named_before_anything_is_sent(
    session: Session, mistake: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError, match="\n  ") as caught:
        mistake()
    assert says in str(caught.value)
    assert session.report().tasks == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings(
    "ignore:.*use of fork.*:DeprecationWarning"
)  # which is what is tried here
@pytest.mark.usefixtures("session")
def test_after_a_fork_joblib_runs_on_and_an_executor_says_why_not_and_neither_hangs() -> None:
    reads, writes = os.pipe()
    with LambdaExecutor() as executor:
        assert executor.submit(pow, 2, 2).result(30) == 4
        child = os.fork()
        if child == 0:
            try:
                told = [
                    str(joblib.Parallel(n_jobs=-1)(joblib.delayed(pow)(i, 2) for i in range(3)))
                ]
                for use in (
                    LambdaExecutor,
                    lambda: executor.submit(pow, 1, 1),
                    lambda: executor.map(len, ["a"]),
                ):
                    try:
                        use()
                    except ConfigurationError as error:
                        told.append(str(error))
                executor.shutdown()
                dolambda.unregister()
                os.write(writes, "\0".join(told).encode())
            finally:
                os._exit(0)
        os.close(writes)
        with os.fdopen(reads) as file:
            values, *errors = file.read().split("\0")
        os.waitpid(child, 0)
        assert values == "[0, 1, 4]"
        assert [
            error.startswith("this process is a fork of one that uses dolambda") for error in errors
        ] == [True] * 3
        assert "spawn" in errors[0]
        assert executor.submit(pow, 2, 5).result(30) == 32


def test_a_dropped_executor_finishes_and_cleans_up(session: Session) -> None:
    future = LambdaExecutor().submit(pow, 2, 3)
    gc.collect()
    assert future.result(30) == 8
    deadline = time.monotonic() + 10
    while session.bucket and session.bucket.list("outs/") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert session.bucket is not None
    assert session.bucket.list("outs/") == []


@pytest.mark.usefixtures("session")
def test_options_reach_the_run_through_joblibs_own_context() -> None:
    with joblib.parallel_config("dolambda", task_timeout=0.5), pytest.raises(TaskTimedOutError):
        joblib.Parallel(n_jobs=-1)(joblib.delayed(time.sleep)(20) for _ in range(2))
