"""What is found on the pipe between a worker and its child, and when: no outcome but a task's own,
and no wait without end.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import socket
import stat
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.wire.outcome import Lost, PackedOutcome, Value
from dolambda.wire.outcome_table import entry_of
from dolambda.worker import frames
from dolambda.worker.frames import Kind, Sending
from dolambda.worker.worker import Worker
from support.polling import until
from support.worker_jobs import KEY, Question, Source, job, outcomes, run

if TYPE_CHECKING:
    from pathlib import Path

    from support.worker_jobs import WorkerThatWaits

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")

LONG = 60.0


@pytest.fixture(params=["pidfd", "waitpid"], autouse=True)
def _system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test on Linux, and as on a system that has no descriptors for processes."""
    if request.param == "waitpid":
        monkeypatch.delattr(os, "pidfd_open", raising=False)


def pipes() -> dict[int, int]:
    """Descriptors of this process that are pipes, and which."""
    found = {}
    for fd in range(3, 1024):
        try:
            status = os.fstat(fd)
        except OSError:
            continue
        if stat.S_ISFIFO(status.st_mode):
            found[fd] = status.st_ino
    return found


def scribble(data: bytes, others: dict[int, int]) -> None:
    """Write to the child's pipe, and not to those that this test's process had before there was a
    child.
    """
    for fd, which in pipes().items():
        if which not in others.values():
            try:
                os.write(fd, data)
            except OSError:  # the one it reads from
                continue


def forged(value: object, index: int, **other: Any) -> bytes:
    """A frame as a child writes it, but of a sending that a task cannot know."""
    sending = Sending.of_job(job(**other))
    kind, parts = entry_of(PackedOutcome.from_value(index, value, 0.0))
    body = frames.outcome_body(kind, b"".join(parts), (0.0, 0.0, 0.0, 0.0), {})
    return b"".join(frames.pack(sending, Kind.OUTCOME, index, body))


@pytest.mark.parametrize(
    "data",
    [
        b"0123456789",
        b"\xff" * 200,
        b"dlf1" + b"\xff" * 100,
        forged("forged", 1),
        forged("forged", 1, run="other"),
        forged("forged", 1, attempt=2),
    ],
    ids=["text", "ones", "a length", "a frame", "a frame of another run", "of another attempt"],
)
def test_what_a_task_writes_to_the_pipe_costs_that_task_alone(worker: Worker, data: bytes) -> None:
    act = (scribble, (data, pipes()))
    before, found, after = outcomes(worker, (len, ("a",)), act, (len, ("abc",)))
    assert (before, after) == (Value(1), Value(3))
    # Outcomes do not travel by the pipe: one that was done when the garbage was found counts.
    if isinstance(found, Lost):
        assert found.reason == "crashed"
        assert "task 1 wrote to the pipe of its worker process" in found.detail
    else:
        assert found == Value(None)
    assert outcomes(worker, (len, ("ab",))) == [Value(2)]


def test_what_is_written_between_two_jobs_is_nobodys_fault(worker: Worker) -> None:
    reads, writes = os.pipe()
    others = pipes()

    def later() -> None:
        def write() -> None:
            os.read(reads, 1)
            scribble(b"late", others)

        threading.Thread(target=write).start()

    assert outcomes(worker, (later, ())) == [Value(None)]
    child = worker._child
    assert child
    os.write(writes, b"x")
    until(child.is_ending)
    assert outcomes(worker, (len, ("ab",)), (len, ("abc",))) == [Value(2), Value(3)]
    os.close(reads)
    os.close(writes)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_job_that_is_left_by_an_exception_leaves_nothing_for_the_next(
    worker_that_waits: WorkerThatWaits, error: type[BaseException]
) -> None:
    worker = worker_that_waits(first_question=0.1)

    def interrupt() -> bool:
        raise error

    with pytest.raises(error):
        run(worker, job((time.sleep, (LONG,)), run="alice"), seconds=LONG, wanted=interrupt)
    assert outcomes(worker, (len, ("ab",)), run="bob") == [Value(2)]


def test_a_question_without_an_answer_is_no_cancellation(
    worker_that_waits: WorkerThatWaits,
) -> None:
    worker = worker_that_waits(first_question=0.1)
    asked = []

    def fail() -> bool:
        asked.append(1)
        raise ConnectionResetError

    def slow(x: int) -> int:
        time.sleep(0.3)
        return x

    reply = run(worker, job((slow, (1,)), (slow, (2,))), seconds=LONG, wanted=fail)
    assert [outcome.open() for outcome in reply.outcomes] == [Value(1), Value(2)]
    assert asked


def test_a_process_that_a_task_forks_answers_nothing(worker: Worker) -> None:
    def both(end: str) -> int | None:
        pid = os.fork()
        if pid:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print("forked")
        if end == "raise":
            raise ValueError
        if end == "exit":
            sys.exit(5)
        return None

    calls = [(both, (end,)) for end in ("return", "raise", "exit")]
    reply = run(worker, job(*calls, (len, ("a",))))
    assert [outcome.open() for outcome in reply.outcomes] == [Value(n) for n in (0, 1, 5, 1)]
    assert "forked" in reply.outcomes[0].output
    assert "ValueError" in reply.outcomes[1].output
    assert outcomes(worker, (len, ("ab",)), run="other") == [Value(2)]


def test_a_process_that_is_forked_while_a_result_is_pickled_answers_nothing(
    worker: Worker,
) -> None:
    class Forks:
        def __reduce__(self) -> Any:
            os.fork()
            return str, ("forked",)

    calls = [(lambda: Forks(), ())] * 3
    assert outcomes(worker, *calls, (len, ("a",))) == [*[Value("forked")] * 3, Value(1)]


def test_a_process_that_compiled_code_forks_answers_nothing(worker: Worker) -> None:
    def both() -> int:
        ctypes.CDLL(None).fork()  # past os.register_at_fork
        return 7

    assert outcomes(worker, *[(both, ())] * 3, (len, ("a",))) == [*[Value(7)] * 3, Value(1)]


@pytest.mark.parametrize("by_os", [True, False])
def test_a_crash_is_seen_though_a_process_that_the_task_forked_lives_on(
    worker: Worker, *, by_os: bool
) -> None:
    def crash() -> None:
        if by_os:
            multiprocessing.get_context("fork").Process(target=time.sleep, args=(LONG,)).start()
        elif not ctypes.CDLL(None).fork():  # this one still holds the pipe
            time.sleep(LONG)
        os.kill(os.getpid(), signal.SIGKILL)

    begun = time.monotonic()
    lost, after = outcomes(worker, (crash, ()), (len, ("a",)))
    assert isinstance(lost, Lost)
    assert (lost.reason, after) == ("crashed", Value(1))
    assert "SIGKILL" in lost.detail
    assert time.monotonic() - begun < 15  # not the job's 20 s


@pytest.mark.parametrize("nbytes", [10, 1_000_000])
def test_a_child_that_was_stopped_between_two_jobs_is_replaced(
    worker_that_waits: WorkerThatWaits, nbytes: int
) -> None:
    worker = worker_that_waits(begin=0.5)
    (before,) = outcomes(worker, (os.getpid, ()))
    assert isinstance(before, Value)
    os.kill(before.value, signal.SIGSTOP)
    taken, after = outcomes(worker, (len, (os.urandom(nbytes),)), (os.getpid, ()))
    assert taken == Value(nbytes)
    assert isinstance(after, Value)
    assert after != before


def test_a_task_that_stops_its_process_is_stopped_at_its_time_limit(worker: Worker) -> None:
    lost, after = outcomes(
        worker, (lambda: os.kill(os.getpid(), signal.SIGSTOP), ()), (len, ("a",)), task_timeout=1
    )
    assert isinstance(lost, Lost)
    assert (lost.reason, after) == ("timed_out", Value(1))


def test_a_task_that_closes_the_pipe_and_goes_on_is_not_waited_for(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.worker.child._EXIT_WITHIN", 0.2)

    def close_and_stay() -> None:
        os.closerange(3, 256)
        time.sleep(LONG)

    lost, after = outcomes(worker, (close_and_stay, ()), (len, ("a",)))
    assert isinstance(lost, Lost)
    assert (lost.reason, after) == ("crashed", Value(1))
    assert "closed file descriptors" in lost.hint


def test_a_task_that_makes_the_pipe_non_blocking_changes_nothing(worker: Worker) -> None:
    others = pipes()

    def unblock() -> bytes:
        for fd in pipes().keys() - others.keys():
            os.set_blocking(fd, False)
        return bytes(1_000_000)

    assert outcomes(worker, (unblock, ()), (len, ("a",))) == [Value(bytes(1_000_000)), Value(1)]
    assert outcomes(worker, (len, ("ab",))) == [Value(2)]


def test_a_large_result_and_a_large_argument_arrive(worker: Worker) -> None:
    sent = os.urandom(5_000_000)
    assert outcomes(worker, (bytes, (sent,)), (len, (sent,))) == [Value(sent), Value(len(sent))]


def test_a_worker_whose_children_cannot_start_says_so() -> None:
    def nothing() -> Source:
        print("no source")
        raise OSError("no source today")

    worker = Worker(nothing, KEY)
    first, second = outcomes(worker, (len, ("a",)), (len, ("ab",)))
    worker.close()
    for lost in (first, second):
        assert isinstance(lost, Lost)
        assert "the worker could not start a process for the task: exit code 70" in lost.detail
        assert "no source today" in lost.hint


def test_the_workers_connections_are_out_of_reach_of_a_task(worker: Worker) -> None:
    ours, theirs = socket.socketpair()

    number = ours.fileno()
    assert outcomes(worker, (lambda: os.write(number, b"from a task"), ())) == [Value(11)]
    theirs.settimeout(0)
    with pytest.raises(BlockingIOError):
        theirs.recv(100)
    ours.close()
    theirs.close()


def test_cancelling_stops_before_the_next_task(
    worker_that_waits: WorkerThatWaits, tmp_path: Path
) -> None:
    worker, asked = worker_that_waits(first_question=0.1, grace=LONG), Question(tmp_path)
    reply = run(worker, job(*[(asked.task, ())] * 4), seconds=LONG, wanted=asked)
    assert [outcome.kind for outcome in reply.outcomes] == ["value", "lost", "lost", "lost"]
    # What is left of the request to stop stops nothing.
    assert outcomes(worker, (len, ("a",))) == [Value(1)]
