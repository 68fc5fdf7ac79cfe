"""Tasks that do odd things to their process: each between two innocent neighbours, and a job of
another run afterwards.
"""

from __future__ import annotations

import asyncio
import builtins
import gc
import io
import json
import logging
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

from dolambda.errors import TaskExitedError
from dolambda.wire.outcome import Failure, Lost, Value
from dolambda.wrappers.initializer import with_initializer
from support.polling import until
from support.worker_jobs import job, outcomes, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.wire.job import Job
    from dolambda.worker.worker import Worker

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


def look(x: int) -> tuple[str, int]:
    """Use much of what a task expects of its process."""
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 100)
    Path.cwd()
    print("look")
    sys.stdin.read()
    assert json.loads(json.dumps([len("a")])) == [1]
    assert pickle.dumps([1])
    time.sleep(0)
    return "fine", x


def close_standard_descriptors() -> None:
    for fd in range(3):
        os.close(fd)


def close_all_descriptors() -> None:
    os.closerange(3, 256)


def close_standard_streams() -> None:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()


def take_away_standard_streams() -> None:
    sys.stdin = sys.stdout = sys.stderr = None


class Stream:
    def write(self, _text: str) -> None:
        raise RuntimeError

    def flush(self) -> None:
        raise SystemExit


def replace_standard_streams() -> None:
    sys.stdout = sys.stderr = Stream()


def detach_standard_output() -> None:
    vars(io.TextIOWrapper)["detach"](sys.stdout)


def redirect_standard_output() -> None:
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 1)


def break_pickle() -> None:
    vars(pickle).update(loads=None, dumps=None)
    vars(cloudpickle).update(dumps=None, Pickler=None)


def break_json() -> None:
    vars(json).update(loads=None, dumps=None)


def break_time() -> None:
    vars(time).update(time=None, monotonic=None, perf_counter=None)


def break_os() -> None:
    vars(os).update(read=None, write=None, getpid=None, open=None)


def break_imports() -> None:
    vars(builtins).update(__import__=None)


def break_len() -> None:
    vars(builtins).update(len=None)


def forget_modules() -> None:
    for name in list(sys.modules):
        if name.startswith(("dolambda", "json", "pickle", "cloudpickle")):
            del sys.modules[name]


def lower_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def lower_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def lower_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))


def lower_recursion_limit() -> None:
    sys.setrecursionlimit(60)


def leave_directory() -> None:
    gone = tempfile.mkdtemp()
    os.chdir(gone)
    os.rmdir(gone)  # noqa: PTH106


def refuse_all_files() -> None:
    os.umask(0o777)


def ignore_signals() -> None:
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def forget_environment() -> None:
    os.environ.clear()


def trace() -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    sys.settrace(fail)


def spin() -> None:
    def turn() -> None:
        while True:
            pass

    for _ in range(5):
        threading.Thread(target=turn, daemon=True).start()


def signal_the_group() -> None:
    os.kill(0, signal.SIGUSR1)


def interrupt_the_group() -> None:
    os.kill(0, signal.SIGINT)


def set_an_alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.2)


def replace_all_descriptors() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(null):
        os.dup2(null, fd)


def forget_all_modules() -> None:
    sys.modules.clear()


def disable_much() -> None:
    gc.disable()
    logging.disable(60)
    sys.setswitchinterval(100)


class Result:
    """A result whose methods do what ``when`` says."""

    def __init__(self, what: Callable[[], object]) -> None:
        self.what = what

    def __reduce__(self) -> Any:
        self.what()
        return str, ("reduced",)


class Leaves:
    def __del__(self) -> None:
        os._exit(9)

    def __reduce__(self) -> Any:
        return str, ("left",)


def leave_when_deleted() -> object:
    return Leaves()


def fork_when_reduced() -> object:
    return Result(os.fork)


def exit_when_reduced() -> object:
    return Result(sys.exit)


ACTS = [value for value in list(globals().values()) if getattr(value, "__module__", "") == __name__]
ACTS = [act for act in ACTS if not isinstance(act, type) and act is not look]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_what_a_task_does_to_its_process_harms_neither_neighbours_nor_the_next_job(
    worker: Worker, act: Callable[[], object]
) -> None:
    reply = run(worker, by_value((look, (0,)), (act, ()), (look, (2,))), seconds=30)
    before, _, after = (outcome.open() for outcome in reply.outcomes)
    assert (before, after) == (Value(("fine", 0)), Value(("fine", 2)))
    reply = run(worker, by_value((look, (3,)), (look, (4,)), run="other"), seconds=30)
    assert [outcome.open() for outcome in reply.outcomes] == [
        Value(("fine", 3)),
        Value(("fine", 4)),
    ]
    assert [outcome.output for outcome in reply.outcomes] == ["look\n"] * 2


STREAMS = [act for act in ACTS if "standard" in act.__name__]


@pytest.mark.parametrize("act", STREAMS, ids=lambda act: act.__name__)
def test_a_result_is_kept_whatever_its_task_did_to_the_standard_streams(
    worker: Worker, act: Callable[[], object]
) -> None:
    def task() -> int:
        act()
        return 7

    (outcome,) = run(worker, by_value((task, ()))).outcomes
    assert outcome.open() == Value(7)


@pytest.mark.parametrize("act", [signal_the_group, interrupt_the_group])
def test_a_signal_to_the_group_ends_the_task_alone(
    worker: Worker, act: Callable[[], object]
) -> None:
    _, lost = opened(worker, (look, (0,)), (act, ()))
    assert isinstance(lost, Lost)
    assert "ended its worker process: signal SIG" in lost.detail


def test_what_a_task_has_started_in_its_group_ends_with_the_child(worker: Worker) -> None:
    def start() -> int:
        return subprocess.Popen(["sleep", "100"]).pid  # noqa: S607

    (value,) = outcomes(worker, (start, ()))
    assert isinstance(value, Value)
    os.kill(value.value, 0)
    worker.close()
    until(lambda: is_gone(value.value))


def test_a_task_that_closes_the_pipe_is_told_so(worker: Worker) -> None:
    (lost,) = opened(worker, (close_all_descriptors, ()))
    assert isinstance(lost, Lost)
    assert lost.hint == "the task has closed file descriptors that are not its own"


def test_a_result_that_ends_the_process_when_it_is_deleted_is_to_blame_itself(
    worker: Worker,
) -> None:
    before, lost, after = opened(worker, (look, (0,)), (leave_when_deleted, ()), (look, (2,)))
    assert (before, after) == (Value(("fine", 0)), Value(("fine", 2)))
    assert isinstance(lost, Lost)
    assert "task 1 ended its worker process: exit code 9" in lost.detail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(5), "task 1 called sys.exit(5)"),
        (SystemExit(), "task 1 called sys.exit()"),
        (SystemExit("no way"), "task 1 called sys.exit('no way')"),
        (KeyboardInterrupt("here"), "task 1 raised KeyboardInterrupt('here')"),
        (GeneratorExit(), "task 1 raised GeneratorExit()"),
        (asyncio.CancelledError(), "task 1 raised CancelledError()"),
    ],
)
def test_what_would_end_the_program_is_the_failure_of_one_task(
    worker: Worker, error: BaseException, said: str
) -> None:
    def leave() -> None:
        raise error

    before, failed, after = opened(worker, (look, (0,)), (leave, ()), (look, (2,)))
    assert (before, after) == (Value(("fine", 0)), Value(("fine", 2)))
    assert isinstance(failed, Failure)
    assert isinstance(failed.exception, TaskExitedError)
    assert str(failed.exception).split("\n")[0] == said
    assert "in leave" in str(failed.exception.__cause__)


def test_a_task_that_fails_as_its_neighbour_broke_the_process_runs_in_another(
    worker: Worker,
) -> None:
    def needs_json() -> Any:
        return json.loads("[1]")

    broke, found = opened(worker, (break_json, ()), (needs_json, ()))
    assert (broke, found) == (Value(None), Value([1]))


def test_a_function_that_does_not_load_is_tried_once_in_a_process_of_its_own(
    worker: Worker,
) -> None:
    class Picky:
        """Loads only in a process where nothing was called before."""

        def __reduce__(self) -> Any:
            return eval, ("1 // (not getattr(__import__('os'), 'called', False))",)

    def call(_loaded: object = None) -> int:
        os.called = True  # type: ignore[attr-defined]
        return os.getpid()

    first, second, third = opened(worker, (call, ()), (call, (Picky(),)), (call, (Picky(),)))
    assert isinstance(first, Value)
    assert isinstance(second, Value)
    assert first != second
    assert isinstance(
        third, Failure
    )  # once only, or each task of a job that cannot load would cost a process
    assert isinstance(third.exception, ZeroDivisionError)


def test_what_a_task_set_stays_for_its_run_and_for_no_other(worker: Worker, tmp_path: Path) -> None:
    def settle() -> None:
        os.chdir(tmp_path)
        os.umask(0o027)

    def where() -> tuple[str, int]:
        mask = os.umask(0)
        os.umask(mask)
        return str(Path.cwd()), mask

    assert outcomes(worker, (settle, ()), (where, ())) == [
        Value(None),
        Value((str(tmp_path), 0o027)),
    ]
    assert outcomes(worker, (where, ())) == [Value((str(tmp_path), 0o027))]
    (other,) = outcomes(worker, (where, ()), run="other")
    assert isinstance(other, Value)
    assert other.value[0] == str(Path.cwd())


def leave_a_thread() -> None:
    threading.Timer(0.3, os._exit, (9,)).start()


def leave_a_timer() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.3)


@pytest.mark.parametrize("leave", [leave_a_thread, leave_a_timer])
def test_what_a_task_has_left_behind_ends_none_of_its_neighbours(
    worker: Worker, leave: Callable[[], None]
) -> None:
    def outlast(x: int) -> int:
        time.sleep(0.6)
        return x

    quick = [(abs, (0,))] * 3
    found = opened(worker, *quick, (leave, ()), (outlast, (1,)), (outlast, (2,)))
    assert found[3:] == [Value(None), Value(1), Value(2)]


def in_little_time(number: int, harm: Callable[..., object], *given: float) -> int:
    """Do harm within microseconds. The next task is hurt by it."""
    if number % 10 == 5:
        harm(*given)
    elif number % 10 == 6:
        time.sleep(0.2)
        print(number, file=sys.stderr)
        subprocess.run(["true"], check=True, stderr=2)  # noqa: S607
    return number


@pytest.mark.parametrize(
    ("harm", "given"),
    [(signal.setitimer, (signal.ITIMER_REAL, 0.1)), (os.close, (2,)), (os.close, (1,))],
    ids=["timer", "error", "output"],
)
def test_harm_that_takes_microseconds_is_undone_before_the_next_task(
    worker: Worker, harm: Callable[..., object], given: tuple[float, ...]
) -> None:
    calls = [(in_little_time, (number, harm, *given)) for number in range(30)]
    for _ in range(2):
        reply = run(worker, job(*calls))
        assert [outcome.open() for outcome in reply.outcomes] == [Value(n) for n in range(30)]
        written = [n for n, outcome in enumerate(reply.outcomes) if outcome.output]
        assert written == [6, 16, 26]


SETTINGS = {
    "locale": "locale.setlocale(locale.LC_ALL, 'C.UTF-8')",
    "priority": "os.nice(2)",
    "collector": "gc.disable()",
    "precision": "setattr(decimal.getcontext(), 'prec', 3)",
    "timeout": "socket.setdefaulttimeout(0.5)",
    "warnings": "warnings.simplefilter('always')",
    "zone": "(os.environ.update(TZ='Asia/Tokyo'), time.tzset())",
    "signals": "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})",
    "directory": "setattr(tempfile, 'tempdir', '/nowhere')",
    "threads": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "path": "sys.path.clear()",
}
if sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1:
    SETTINGS["processors"] = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
if os.geteuid() == 0:
    SETTINGS["group"] = "os.setegid(65534)"
    SETTINGS["user"] = "os.seteuid(65534)"

"""What another run must not find, and the statement that sets it."""


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_other_run_finds_what_tasks_have_set(worker: Worker, setting: str) -> None:
    names = "decimal gc locale os signal socket sys tempfile threading time warnings"
    statement = f"import {names.replace(' ', ', ')}; {SETTINGS[setting]}"
    same = [outcomes(worker, (os.getpid, ()))[0] for _ in range(2)]
    assert same[0] == same[1]
    assert outcomes(worker, (exec, (statement,))) == [Value(None)]
    assert outcomes(worker, (os.getpid, ())) == same[:1]
    assert outcomes(worker, (os.getpid, ()), run="other") != same[:1]


def test_no_other_run_finds_what_an_initializer_has_set(worker: Worker) -> None:
    prepared = with_initializer(exec, ("import json; json.prepared = True",))(os.getpid)
    same = [outcomes(worker, (call, ()))[0] for call in (prepared, os.getpid)]
    assert same[0] == same[1]
    assert outcomes(worker, (os.getpid, ()), run="other") != same[:1]


def test_a_child_in_which_nothing_was_broken_is_kept(worker: Worker) -> None:
    pids = [outcomes(worker, (os.getpid, ()), run=run)[0] for run in ("a", "b", "a")]
    assert pids == pids[:1] * 3


def opened(
    worker: Worker, *calls: tuple[Callable[..., Any], tuple[Any, ...]]
) -> list[Value | Failure | Lost]:
    return [outcome.open() for outcome in run(worker, by_value(*calls), seconds=30).outcomes]


def by_value(*calls: tuple[Callable[..., Any], tuple[Any, ...]], **more: Any) -> Job:
    """Pack this module's functions as those of a script are: the child has not imported it."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        return job(*calls, **more)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")  # its zombie waits for whoever adopted it
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"
