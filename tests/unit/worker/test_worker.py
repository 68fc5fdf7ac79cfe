from __future__ import annotations

import errno
import json
import os
import pickle
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dolambda.errors import (
    EnvelopeError,
    OutOfMemoryError,
    PythonMismatchError,
    SignatureError,
    TaskExitedError,
)
from dolambda.wire.chunk import Chunk
from dolambda.wire.outcome import Failure, Lost, Value
from dolambda.wire.packer import Packer
from dolambda.wire.reply import Reply
from dolambda.wire.signing_keys import VARIABLES
from dolambda.wire.task import TaskContext
from dolambda.worker.outcome_writer import MAX_TASKS, Region
from dolambda.worker.worker import Worker
from support.worker_jobs import KEY, Question, Source, job, job_of, outcomes, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.worker_jobs import WorkerThatWaits

# The test process has threads, so newer Pythons warn of fork; Lambda's own process has none when a
# worker forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


def test_every_task_has_its_outcome_in_order(worker: Worker) -> None:
    values = outcomes(worker, *((lambda i: i * i, (i,)) for i in range(20)))
    assert values == [Value(i * i) for i in range(20)]


def test_a_task_that_raises_does_not_harm_its_neighbours(worker: Worker) -> None:
    one, two, three = outcomes(worker, (len, ("a",)), (int, ("x",)), (len, ("ab",)))
    assert (one, three) == (Value(1), Value(2))
    assert isinstance(two, Failure)
    assert isinstance(two.exception, ValueError)


@pytest.mark.parametrize("leave", [sys.exit, exit, quit])
def test_leaving_by_exception_is_that_tasks_failure(
    worker: Worker, leave: Callable[..., Any]
) -> None:
    before, outcome, after = outcomes(worker, (len, ("a",)), (lambda: leave(3), ()), (len, ("a",)))
    assert (before, after) == (Value(1), Value(1))
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.exception, TaskExitedError)
    assert str(outcome.exception).startswith("task 1 called sys.exit(3)\n")


def test_a_task_that_ends_its_process_is_named_and_its_neighbours_go_on(worker: Worker) -> None:
    def last_words() -> None:
        print("last words", flush=True)
        os._exit(3)

    reply = run(worker, job((len, ("a",)), (last_words, ()), (len, ("abc",))))
    done, culprit, neighbour = (outcome.open() for outcome in reply.outcomes)
    assert done == Value(1)
    assert isinstance(culprit, Lost)
    assert culprit.reason == "crashed"
    assert culprit.detail.startswith(
        "task 1 ended its worker process: exit code 3 (it had used up to "
    )
    assert neighbour == Value(3)
    assert reply.outcomes[1].output == "last words\n"
    assert outcomes(worker, (len, ("after",))) == [Value(5)]


def test_a_task_that_ends_its_process_is_logged_with_its_run_and_job(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes(worker, (len, ("abc",)), (lambda code: os._exit(code), (3,)))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (crash,) = [line for line in lines if "dolambda" in line]
    assert crash["dolambda"].startswith("task 1 ended its worker process: exit code 3")
    assert (crash["job"], crash["task"]) == (0, 1)
    assert crash["run"]


def test_a_killed_process_says_its_signal(worker: Worker) -> None:
    (outcome,) = outcomes(worker, (lambda: os.kill(os.getpid(), signal.SIGKILL), ()))
    assert isinstance(outcome, Lost)
    assert outcome.reason == "crashed"
    assert "signal SIGKILL" in outcome.detail


def used_here() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(),
    reason="only Linux tells how much memory another process uses",
)
def test_a_task_that_takes_more_memory_than_there_is_is_stopped_and_its_neighbours_go_on() -> None:
    memory = used_here() + 150
    small = Worker(Source(), KEY, memory=memory)

    def hoard(megabytes: int) -> int:
        held = bytearray(megabytes << 20)
        held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
        time.sleep(0.5)
        return len(held) >> 20

    calls = [(hoard, (10,)), (hoard, (400,)), (hoard, (20,))]
    first, second, third = outcomes(small, *calls)
    small.close()
    assert (first, third) == (Value(10), Value(20))
    assert isinstance(second, Lost)
    assert second.reason == "out_of_memory"
    assert isinstance(second.to_error(), OutOfMemoryError)
    assert f"of the worker's {memory:,} MB when it needed more" in second.detail


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="as above")
def test_the_memory_that_is_watched_is_the_workers_own_too(worker: Worker) -> None:
    """A large result is in the child and in its parent: both count for Lambda, which ends both."""
    assert outcomes(worker, (len, ("ab",))) == [Value(2)]
    child = worker._child
    assert child is not None
    before = child.memory()
    held = bytearray(b"x") * (200 << 20)
    assert child.memory() > before + 150
    del held
    assert child.memory() < before + 100


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="as above")
def test_what_earlier_tasks_left_in_memory_is_no_later_tasks_fault() -> None:
    small = Worker(Source(), KEY, memory=used_here() + 500)

    def leak(megabytes: int) -> int:
        kept = os.__dict__.setdefault("kept", [])
        kept.append(b"x" * (megabytes << 20))
        time.sleep(0.1)
        return len(kept)

    assert outcomes(small, *[(leak, (400,))] * 3) == [Value(1)] * 3
    small.close()


def test_a_task_at_its_own_time_limit_is_stopped(worker: Worker) -> None:
    first, second, third = outcomes(
        worker, (len, ("a",)), (time.sleep, (30,)), (len, ("a",)), task_timeout=1
    )
    assert first == Value(1)
    assert isinstance(second, Lost)
    assert second.reason == "timed_out"
    assert third == Value(1)


def test_what_time_does_not_suffice_for_is_handed_back_and_not_blamed(worker: Worker) -> None:
    sent = job(*((time.sleep, (seconds,)) for seconds in (0.2, 30, 0.1)))
    first, second, third = (outcome.open() for outcome in run(worker, sent, seconds=3).outcomes)
    assert first == Value(None)
    assert isinstance(second, Lost)
    assert isinstance(third, Lost)
    assert (second.reason, third.reason) == ("not_started", "not_started")


def test_the_functions_time_limit_is_met_before_lambda_does(worker: Worker) -> None:
    begun = time.monotonic()
    reply = run(worker, job((time.sleep, (30,))), seconds=1.5)
    outcome = reply.outcomes[0].open()
    assert isinstance(outcome, Lost)
    assert outcome.reason == "timed_out"
    assert time.monotonic() - begun < 15  # Lambda's axe stands in for: not the 30 s of the task


def test_what_is_printed_by_python_and_by_others_comes_back_by_task(worker: Worker) -> None:
    def speak(word: str) -> None:
        print(word)
        sys.stderr.write("err\n")
        subprocess.run(["echo", "from a child process"], check=True)  # noqa: S607

    reply = run(worker, job((speak, ("one",)), (len, ("a",)), (speak, ("two",))))
    assert [sorted(outcome.output.split("\n")) for outcome in reply.outcomes] == [
        ["", "err", "from a child process", "one"],
        [""],
        ["", "err", "from a child process", "two"],
    ]


def test_memory_and_cpu_of_what_a_task_starts_are_its_own(worker: Worker) -> None:
    """Else advice would leave a task less memory than its programs need."""

    def start(megabytes: int, seconds: float) -> None:
        busy = (
            f"import time; x = b'x' * ({megabytes} << 20)\nwhile time.process_time() < "
            f"{seconds}: pass"
        )
        subprocess.run([sys.executable, "-c", busy], check=True)

    # A program counts at least what this process used when it was started.
    more = 200 + (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
    small, large = (run(worker, job((start, each))).outcomes for each in ((1, 0.0), (more, 0.5)))
    assert large.peak[0] - small.peak[0] > 100
    assert large.cpu[0] > 0.5


def test_what_a_task_leaves_running_is_its_own_too(worker: Worker) -> None:
    """As R, which is started once for many tasks."""
    text = "import sys; x = b'x' * (200 << 20); print(len(x), flush=True); sys.stdin.read()"

    def leave() -> int:
        started = subprocess.Popen(
            [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert started.stdout
        return len(started.stdout.readline())

    before, after = (run(worker, job((call, ()))).outcomes for call in (time.monotonic, leave))
    later = run(worker, job((time.sleep, (0.01,)))).outcomes
    assert after.peak[0] - max(before.peak[0], 50) > 100
    assert later.peak[0] > 100  # it still runs
    assert later.cpu[0] < 0.1


def test_output_is_capped(worker: Worker) -> None:
    reply = run(worker, job((lambda: print("x" * 1_000_000), ())))
    assert len(reply.outcomes[0].output) < 70_000
    assert reply.outcomes[0].output.endswith("bytes more were printed and are not shown\n")


def test_another_python_is_refused(worker: Worker) -> None:
    refusal = run(worker, job((len, ("a",)), python="2.7")).refusal
    assert refusal
    assert isinstance(refusal.to_error(), PythonMismatchError)
    assert "comes from Python 2.7" in refusal.detail


def test_a_job_after_its_deadline_is_not_begun(worker: Worker) -> None:
    refusal = run(worker, job((len, ("a",)), deadline=time.time() - 1)).refusal
    assert refusal
    assert refusal.reason == "not_started"


def test_a_job_nobody_waits_for_stops_between_tasks(
    worker_that_waits: WorkerThatWaits, tmp_path: Path
) -> None:
    worker = worker_that_waits(first_question=0.1, grace=60)
    asked = Question(tmp_path)
    sent = job((asked.task, ()), *[(len, ("a",))] * 19)
    reply = run(worker, sent, seconds=60, wanted=asked)
    assert [outcome.kind for outcome in reply.outcomes] == ["value", *["lost"] * 19]


def test_a_forged_job_is_refused_before_it_is_unpickled(worker: Worker, tmp_path: Any) -> None:
    mark = tmp_path / "mark"
    forged = job((lambda: mark.touch(), ()))
    with pytest.raises(EnvelopeError):
        worker.run(forged.to_bytes(b"x" * 32), seconds=5)
    assert not mark.exists()


def test_while_keys_are_replaced_each_is_accepted_and_signs_its_own_replies(tmp_path: Any) -> None:
    now, before, gone = b"n" * 32, b"b" * 32, b"g" * 32
    worker = Worker(Source(), now, also=(before,))
    try:
        pids = set()
        for key in (now, before, now, before):
            sent = job(
                (os.getpid, ()), (lambda code: os._exit(code), (3,)), (len, ("abc",))
            )  # the neighbours of a crash are sealed anew for the next child
            reply = Reply.from_bytes(worker.run(sent.to_bytes(key), seconds=20), key)
            first, crashed, third = (outcome.open() for outcome in reply.outcomes)
            assert isinstance(first, Value)
            assert isinstance(crashed, Lost)
            assert third == Value(3)
            calm = Reply.from_bytes(worker.run(job((os.getpid, ())).to_bytes(key), seconds=20), key)
            pids.add(calm.outcomes[0].open())
        assert len(pids) == 4
        for key in (now, before):  # and one child serves both
            reply = Reply.from_bytes(
                worker.run(job((os.getpid, ())).to_bytes(key), seconds=20), key
            )
            assert reply.outcomes[0].open() in pids
        mark = tmp_path / "mark"
        with pytest.raises(
            SignatureError,
            match=r"not signed with this stack's key\n.*`dolambda rotate-key`: call register\(\) "
            r"again",
        ):
            worker.run(job((mark.touch, ())).to_bytes(gone), seconds=5)
        assert not mark.exists()
    finally:
        worker.close()


def test_a_missing_module_says_what_to_do(worker: Worker) -> None:
    def needs() -> None:
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401, PLC0415

    (outcome,) = outcomes(worker, (needs, ()))
    assert isinstance(outcome, Failure)
    assert "requires" in outcome.exception.__notes__[0]


@pytest.mark.parametrize("name", ["data.csv", "no-such-program"])
def test_a_missing_file_or_program_says_what_to_do(worker: Worker, name: str) -> None:
    def opens() -> str:
        return Path(name).read_text()

    def starts() -> bytes:
        return subprocess.check_output([name])

    for outcome in outcomes(worker, (opens, ()), (starts, ())):
        assert isinstance(outcome, Failure)
        (note,) = outcome.exception.__notes__
        assert note.startswith(f"The worker has no '{name}'. Files and programs of your machine")


def test_a_missing_variable_or_a_read_only_file_says_what_to_do(worker: Worker) -> None:
    def asks() -> str:
        return os.environ["NO_SUCH_TOKEN"]

    def looks_up() -> int:
        return {"a": 1}["NO_SUCH_TOKEN"]

    def writes() -> None:
        raise OSError(errno.EROFS, "Read-only file system", "out.csv")

    found = list(outcomes(worker, (asks, ()), (looks_up, ()), (writes, ())))
    notes = [getattr(one.exception, "__notes__", []) for one in found if isinstance(one, Failure)]
    assert [len(some) for some in notes] == [1, 0, 1]
    assert notes[0][0].startswith("The worker has no environment variable 'NO_SUCH_TOKEN'.")
    assert "env={" in notes[0][0]
    assert notes[2][0].startswith("A worker can write to /tmp alone.")


def test_own_modules_travel_and_a_new_version_is_used(worker: Worker) -> None:
    from dolambda.environment.archive import make_zip  # noqa: PLC0415 - only here
    from dolambda.wire.blob import Blob  # noqa: PLC0415 - only here

    def ask() -> Any:
        import mine  # type: ignore[import-not-found]  # noqa: PLC0415

        return mine.VERSION

    source = worker._source
    assert isinstance(source, Source)
    for version in (1, 2):
        bundle = Blob.from_bytes(make_zip({"mine.py": f"VERSION = {version}".encode()}))
        source.blobs[bundle.digest] = bytes(bundle.data)
        worker.close()  # the child's source is a copy from before the fork
        assert outcomes(worker, (ask, ()), code=bundle.digest) == [Value(version)]


def test_files_beside_own_modules_can_be_opened_and_programs_find_the_modules(
    worker: Worker,
) -> None:
    from dolambda.environment.archive import make_zip  # noqa: PLC0415 - only here
    from dolambda.wire.blob import Blob  # noqa: PLC0415 - only here

    def read() -> str:
        import mine_with_data  # type: ignore[import-not-found]  # noqa: PLC0415

        # As users write it.
        with open(f"{os.path.dirname(mine_with_data.__file__)}/d.txt") as file:  # noqa: PTH120, PTH123
            return file.read()

    def ask_a_program() -> str:
        program = "import mine_with_data, cloudpickle, statistics; print(mine_with_data.A)"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    source = worker._source
    assert isinstance(source, Source)
    entries = {"mine_with_data/__init__.py": b"A = 1", "mine_with_data/d.txt": b"data"}
    archive = Blob.from_bytes(make_zip(entries))
    source.blobs[archive.digest] = bytes(archive.data)
    found = outcomes(worker, (read, ()), (ask_a_program, ()), code=archive.digest)
    assert found == [Value("data"), Value("1\n")]


def test_own_modules_are_found_after_a_task_has_emptied_the_temporary_directory(
    worker: Worker,
) -> None:
    from dolambda.environment.archive import make_zip  # noqa: PLC0415 - only here
    from dolambda.wire.blob import Blob  # noqa: PLC0415 - only here

    def clean() -> None:
        for path in Path(tempfile.gettempdir()).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def ask() -> Any:
        import mine_needed_late  # type: ignore[import-not-found]  # noqa: PLC0415

        return mine_needed_late.A

    source = worker._source
    assert isinstance(source, Source)
    archive = Blob.from_bytes(make_zip({"mine_needed_late.py": b"A = 1"}))
    source.blobs[archive.digest] = bytes(archive.data)
    assert outcomes(worker, (clean, ()), (ask, ()), code=archive.digest) == [Value(None), Value(1)]
    assert outcomes(worker, (clean, ()), code=archive.digest) == [Value(None)]
    assert outcomes(worker, (ask, ()), code=archive.digest) == [Value(1)]


def test_tracebacks_have_no_frames_of_the_worker(worker: Worker) -> None:
    def fail() -> None:
        try:
            raise KeyError("first")  # noqa: TRY301 - as users write it
        except KeyError as error:
            raise ValueError("second") from error

    (outcome,) = outcomes(worker, (fail, ()))
    assert isinstance(outcome, Failure)
    said = str(outcome.exception.__cause__)
    assert "/dolambda/worker/" not in said
    assert said.count("in fail") == 2
    assert 'raise ValueError("second") from error' in said


def test_the_child_does_not_know_the_key(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "secret")
    assert outcomes(
        worker, (lambda: [name for name, value in os.environ.items() if value == "secret"], ())
    ) == [Value([])]


def test_usage_tells_cold_from_warm_and_names_the_worker(worker: Worker) -> None:
    cold, warm = (run(worker, replace(job((len, ("a",))), number=n)).usage for n in range(2))
    assert (cold.cold, warm.cold) == (True, False)
    assert cold.worker == warm.worker


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Let the worker and its child take turns, where the system can do that: who is woken by the
    other goes first.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("one_cpu")
def test_a_child_that_died_between_jobs_is_replaced_and_nobody_blamed(worker: Worker) -> None:
    """Nor while it ends, when it still takes a job: that is a moment, so it is tried several
    times.
    """
    reads, writes = os.pipe()  # the children have it too

    def wait_and_die() -> None:
        os.read(reads, 1)
        os._exit(1)

    def begin_to_wait() -> None:
        threading.Thread(target=wait_and_die).start()

    for _ in range(20):
        assert outcomes(worker, (begin_to_wait, ())) == [Value(None)]
        assert worker._child
        os.write(writes, b"x")
        assert select.select([worker._child._from_child], [], [], 10)[0]  # it has begun to end
        assert outcomes(worker, (len, ("abc",)), (len, ("ab",))) == [Value(3), Value(2)]
    os.close(reads)
    os.close(writes)


@pytest.mark.parametrize("nesting", [None, 0])
def test_an_array_is_a_tasks_own_and_aligned_and_joblibs_large_ones_are_read_only(
    worker: Worker, nesting: int | None
) -> None:
    def look(array: Any) -> tuple[bool, bool, float]:
        if array.flags.writeable:
            array += 1
        return bool(array.flags.aligned), bool(array.flags.writeable), float(array.sum())

    small, large = np.ones(1000), np.ones(200_000)
    calls = (look, (small,)), (look, (small,)), (look, (large,)), (look, (large,))
    context = TaskContext(nesting=nesting)
    own = nesting is None
    expected = Value((True, own, 400_000.0 if own else 200_000.0))
    assert (
        outcomes(worker, *calls, context=context)
        == [Value((True, True, 2000.0))] * 2 + [expected] * 2
    )


def test_a_large_array_of_the_functions_own_can_be_written(worker: Worker) -> None:
    large = np.zeros(200_000)

    def fill(number: int) -> Any:
        large[:] = number
        return large

    found = outcomes(worker, *[(fill, (number,)) for number in (1, 2)])
    assert [(one.value[0], one.value[-1]) for one in found if isinstance(one, Value)] == [
        (1.0, 1.0),
        (2.0, 2.0),
    ]


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(),
    reason="only Linux tells how much memory another process uses",
)
def test_what_a_task_has_done_counts_though_it_left_too_much_in_memory(tmp_path: Path) -> None:
    def leave(megabytes: int, log: str) -> int:
        with Path(log).open("a") as file:
            file.write("x")
        os.__dict__["left"] = b"x" * (megabytes << 20)
        return megabytes

    small = Worker(Source(), KEY, memory=used_here() + 300)
    found = outcomes(small, *[(leave, (600, str(tmp_path / "log")))] * 3)
    small.close()
    begun = len((tmp_path / "log").read_text())
    assert begun == 3  # each once, whether it was seen in time or not
    assert all(isinstance(outcome, (Value, Lost)) for outcome in found)


def test_small_arrays_of_a_closure_can_be_written_to(worker: Worker) -> None:
    array = np.zeros(1000)

    def body(i: int) -> float:
        array[0] = i
        return float(array[0])

    assert outcomes(worker, (body, (3,)), (body, (4,))) == [Value(3.0), Value(4.0)]


def test_what_tasks_change_in_their_function_ends_with_their_run(worker: Worker) -> None:
    """A worker serves runs of several programs and users."""
    seen: list[int] = []

    def body(i: int) -> list[int]:
        seen.append(i)
        return list(seen)

    def values_in(name: str) -> list[Any]:
        reply = run(worker, job((body, (1,)), (body, (2,)), run=name))
        return [outcome.open().value for outcome in reply.outcomes]  # type: ignore[union-attr]

    assert values_in("first") == [[1], [1, 2]]
    assert values_in("second") == [[1], [1, 2]]


def seeded(_: int) -> tuple[float, float]:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - what users do
    return drawn(0)


def drawn(_: int) -> tuple[float, float]:
    return random.random(), float(np.random.rand())  # noqa: NPY002, S311 - what users do


def test_a_seed_that_a_task_has_set_ends_with_its_run(worker: Worker) -> None:
    def values_in(name: str, *bodies: Callable[[int], Any]) -> list[Any]:
        reply = run(worker, job(*((body, (0,)) for body in bodies), run=name))
        return [outcome.open().value for outcome in reply.outcomes]  # type: ignore[union-attr]

    first, second = values_in("first", seeded, drawn)
    assert values_in("first", seeded, drawn) == [first, second]  # it holds within a run
    again, other = values_in("second", drawn, drawn)
    assert not {*again, *other} & {*first, *second}
    assert values_in("second", seeded)[0] == first
    assert not {*values_in("third", drawn)[0]} & {*first, *second}


def variables() -> tuple[str | None, str | None, int]:
    return os.environ.get("TOKEN"), os.environ.get("OMP_NUM_THREADS"), os.getpid()


def values(worker: Worker, **surroundings: Any) -> tuple[str | None, str | None, int]:
    (outcome,) = outcomes(worker, (variables, ()), context=TaskContext(**surroundings))
    assert isinstance(outcome, Value)
    return outcome.value  # type: ignore[no-any-return] # a task's


def test_variables_are_those_of_the_job_and_of_no_other(worker: Worker) -> None:
    first = values(worker, env={"TOKEN": "a"})
    again = values(worker, env={"TOKEN": "a"})
    other = values(worker, env={"TOKEN": "b", "OMP_NUM_THREADS": "7"}, threads=3)
    none = values(worker)
    assert [found[:2] for found in (first, again, other, none)] == [
        ("a", None),
        ("a", None),
        ("b", "7"),
        (None, None),
    ]
    assert first[2] == again[2]
    assert len({found[2] for found in (first, other, none)}) == 3
    assert "TOKEN" not in os.environ


def test_variables_are_set_before_the_function_is_loaded(worker: Worker) -> None:
    (outcome,) = outcomes(worker, (ReadsWhenLoaded(), ()), context=TaskContext(env={"TOKEN": "a"}))
    assert outcome == Value("a")


class ReadsWhenLoaded:
    """As a module does that reads its configuration when it is imported."""

    def __init__(self) -> None:
        self.token: str | None = None

    def __setstate__(self, _state: object) -> None:
        self.token = os.environ.get("TOKEN")

    def __call__(self) -> str | None:
        return self.token


def test_variables_are_in_no_repr_of_a_job_and_in_no_reply(worker: Worker) -> None:
    sent = job((variables, ()), context=TaskContext(env={"TOKEN": "hunter2-0123"}))
    assert "hunter2" not in repr(sent)
    quiet = job((len, ("a",)), context=TaskContext(env={"TOKEN": "hunter2-0123"}))
    sealed = worker.run(quiet.to_bytes(KEY), seconds=20)
    assert b"hunter2" not in sealed
    assert b"hunter2" in quiet.to_bytes(KEY)


def sized(i: int, nbytes: int) -> int | bytes:
    return bytes([i % 251]) * nbytes if nbytes else i


ENTRIES = Region().entries.nbytes
PICKLED = len(pickle.dumps(bytes(1 << 20), 5)) - (1 << 20)  # of bytes, beside them


@pytest.mark.parametrize(
    "sizes",
    [
        *([5, ENTRIES - PICKLED + over, 0, 5] for over in (-1, 0, 1)),
        [ENTRIES // 2 - PICKLED, ENTRIES - ENTRIES // 2 - PICKLED, 0],
        [2 * ENTRIES, 0, 2 * ENTRIES],
        *([0] * (MAX_TASKS + more) for more in (-1, 0, 1, MAX_TASKS + 1)),
    ],
)
def test_results_at_the_edges_of_the_shared_memory(worker: Worker, sizes: list[int]) -> None:
    packed = list(Packer(same_buffers=False).pack(sized, list(enumerate(sizes)), 0))
    table = run(worker, job_of([one for one in packed if isinstance(one, Chunk)])).outcomes
    assert [outcome.open() for outcome in table] == [
        Value(sized(i, nbytes)) for i, nbytes in enumerate(sizes)
    ]
