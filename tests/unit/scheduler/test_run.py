"""A run against a transport in memory whose faults are chosen: what is lost, late, doubled or
forged.
"""

from __future__ import annotations

import gc
import logging
import pickle
import sys
import threading
import time
import tracemalloc
import weakref
from concurrent.futures import CancelledError, Future, wait
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.errors import (
    ConfigurationError,
    JobRefusedError,
    LostError,
    NoReplyError,
    NotPicklableError,
    TooLargeError,
    WorkerCrashedError,
)
from dolambda.scheduler.hooks import RunHooks
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.results import BatchFuture, Pieces, values_of
from dolambda.scheduler.retries import Retries
from dolambda.scheduler.run import Run
from dolambda.scheduler.stored import Stored
from dolambda.scheduler.stragglers import Stragglers
from dolambda.transport.base import Unanswered
from dolambda.wire.blob import Blob
from dolambda.wire.outcome import Lost, PackedOutcome
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.packer import Packer
from dolambda.wire.reply import Reply
from support.fake_transport import KEY, Memory, square
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.transport.base import OnReply, SealedJob
    from dolambda.wire.job import Job


def open_run(memory: Memory, **limits: Any) -> Run:
    return Run(
        "r",
        memory,
        KEY,
        Limits(**({"workers": 4, "window": 4, "runtime": 0.0, "max_wait": 60.0} | limits)),
    )


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dolambda.scheduler.state._REPLY_GRACE_S", 0.0)


def results(run: Run, count: int) -> list[Any]:
    return [future.result(20) for future in run.submit((square, (i,), {}) for i in range(count))]


def test_jobs_have_none_of_the_numbers_of_an_earlier_client_that_had_no_reply() -> None:
    """Workers take them for withdrawn: the run would wait until max_wait is over."""
    memory = Memory()
    limits = Limits(workers=4, window=4, runtime=0.0, max_wait=60.0)
    packer = Packer(same_buffers=False, salt=lambda: b"salt")
    run = Run("r", memory, KEY, limits, packer=packer, stored=Stored({}, first=7))
    assert results(run, 20) == [i * i for i in range(20)]
    run.close()
    assert min(job.number for job in memory.sent) == 7


def test_all_results_in_order_and_all_objects_removed() -> None:
    memory = Memory()
    run = open_run(memory)
    assert results(run, 500) == [i * i for i in range(500)]
    run.close()
    assert sorted(memory.withdrawn) == list(range(len({job.number for job in memory.sent})))
    report = run.report()
    assert (report.tasks, report.done, report.failed) == (500, 500, 0)


def test_deadlines_are_by_the_workers_clocks() -> None:
    """A client whose clock is slow would else send jobs whose time is over when they come."""
    memory = Memory()
    run, before = open_run(memory, ahead=400.0), time.time()
    assert results(run, 1) == [0]
    run.close()
    assert before + 460.0 <= memory.sent[0].deadline <= time.time() + 460.0


def test_the_window_is_never_exceeded() -> None:
    memory = Memory()

    def slow(job: Job, _sent: int) -> bytes:
        time.sleep(0.01)
        return memory.answer(job)

    memory.fate = slow
    run = open_run(memory, window=3, batch=1)
    assert results(run, 40) == [i * i for i in range(40)]
    assert memory.most_flying == 3


def test_short_tasks_come_to_share_jobs() -> None:
    memory = Memory()
    run = open_run(memory)
    results(run, 2000)
    assert len(memory.sent) < 40


def test_a_lost_job_is_sent_again_under_its_number(caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory()
    memory.fate = lambda job, sent: None if sent == 1 and job.number == 0 else memory.answer(job)
    run = open_run(memory, max_wait=0.2, batch=1)
    with caplog.at_level(logging.WARNING, "dolambda"):
        assert results(run, 5) == [0, 1, 4, 9, 16]
    assert [job.attempt for job in memory.sent if job.number == 0] == [1, 2]
    assert "job 0 is sent again: no reply to job 0 (task 0) came after 1 attempt" in caplog.text
    assert run.report().resent == 1


def test_a_job_never_answered_ends_as_lost_after_its_attempts() -> None:
    memory = Memory(lambda _job, _sent: None)
    run = open_run(memory, max_wait=0.1, attempts=3)
    (future,) = run.submit([(square, (1,), {})])
    with pytest.raises(NoReplyError, match="after 3 attempts"):
        future.result(20)
    assert len(memory.sent) == 3


def test_tasks_that_were_not_begun_are_sent_again_and_the_culprit_is_not() -> None:
    memory = Memory()

    def crash_once(job: Job, _sent: int) -> bytes:
        if job.number:
            return memory.answer(job)
        first, *rest = job.indexes()
        crashed = PackedOutcome.from_lost(
            first, Lost("crashed", "task 0 ended its worker process: exit code 1")
        )
        lost = [
            PackedOutcome.from_lost(index, Lost("not_started", "its job ended")) for index in rest
        ]
        return memory.answer(job, outcomes=OutcomeTable.from_outcomes([crashed, *lost]))

    memory.fate = crash_once
    run = open_run(memory, batch=5)
    culprit, *others = run.submit((square, (i,), {}) for i in range(5))
    with pytest.raises(WorkerCrashedError, match="exit code 1"):
        culprit.result(20)
    assert [future.result(20) for future in others] == [1, 4, 9, 16]


@pytest.mark.parametrize(
    "forge",
    [
        lambda memory, job: memory.answer(job)[:-1] + b"x",
        lambda memory, job: memory.answer(job, number=job.number + 1),
        lambda memory, job: memory.answer(job, run="another"),
        lambda memory, job: b"garbage",
        lambda memory, job: job.to_bytes(KEY),
    ],
    ids=["altered", "another job's", "another run's", "garbage", "the job itself"],
)
def test_a_forged_reply_is_refused_and_the_job_done_again(
    forge: Any, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory()
    memory.fate = lambda job, _sent: memory.answer(job) if job.number else forge(memory, job)
    run = open_run(memory)
    assert results(run, 1) == [0]
    assert "refused" in caplog.text
    run.close()


def test_replies_signed_with_another_key_over_and_over_are_a_refusal_that_names_rotation() -> None:
    memory = Memory()
    memory.fate = lambda job, _sent: Reply(job.run, job.number, 0, OutcomeTable()).to_bytes(
        b"x" * 32
    )
    run = open_run(memory, attempts=3)
    (future,) = run.submit([(square, (1,), {})])
    with pytest.raises(
        JobRefusedError,
        match=r"task 0 is lost: its reply was refused: a reply that is not signed .*\n.*rotate-key",
    ):
        future.result(20)
    assert len(memory.sent) == 3
    run.close()


def test_a_transport_that_fails_fails_the_tasks_with_its_error() -> None:
    run = open_run(Memory(lambda _job, _sent: PermissionError("denied")))
    (future,) = run.submit([(square, (1,), {})])
    with pytest.raises(PermissionError, match="denied"):
        future.result(20)
    run.close()


def test_what_cannot_be_pickled_is_an_exception_of_its_future_alone() -> None:
    run = open_run(Memory())
    good, bad = run.submit([(square, (3,), {}), (square, (threading.Lock(),), {})])
    with pytest.raises(NotPicklableError):
        bad.result(0)
    assert good.result(20) == 9
    run.close()


@pytest.mark.parametrize(
    ("tasks", "announced", "said"),
    [
        (3, 0, ["dolambda was cancelled: 1 task had not begun"]),
        (2, 12, ["dolambda was cancelled: 10 tasks had not begun"]),
        (2, 2, []),
    ],
)
def test_cancel_says_how_much_had_not_begun(
    caplog: pytest.LogCaptureFixture, tasks: int, announced: int, said: list[str]
) -> None:
    held = threading.Event()
    memory = Memory()

    def hang(job: Job, _sent: int) -> bytes | None:
        held.wait(20)
        return memory.answer(job)

    memory.fate = hang
    run = open_run(memory, window=2, batch=1)
    run.expect(announced)
    run.submit((square, (i,), {}) for i in range(tasks))
    until(lambda: len(memory.sent) >= 2)
    run.cancel()
    held.set()
    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == said
    report = run.report()
    assert (report.tasks, report.done, report.failed) == (tasks, 0, 0)


@pytest.mark.parametrize(
    ("announced", "given", "jobs"),
    [
        (0, {}, 8),  # half of what is left is shared out among four workers
        (1000, {}, 1),  # eight tasks are no more than a share of those to come
        (0, {"whole_batches": True}, 1),
        (0, {"whole_batches": True, "batch": 2}, 4),  # the user knows better
    ],
)
def test_a_job_counts_what_is_to_come_and_is_no_smaller_than_a_batch_of_joblib(
    announced: int, given: dict[str, Any], jobs: int
) -> None:
    memory = Memory()
    run = open_run(memory, **given)
    run.batcher.learn([0.1] * 100)
    run.expect(announced)
    done = BatchFuture(8)
    run.submit_stream(square, [(i,) for i in range(8)], done.receiver)
    assert done.result(20) == [i * i for i in range(8)]
    assert run.report().jobs == jobs
    run.close()


def test_cancel_drops_what_waits_and_withdraws_what_flies() -> None:
    held = threading.Event()
    memory = Memory()

    def hang(job: Job, _sent: int) -> bytes | None:
        held.wait(20)
        return memory.answer(job)

    memory.fate = hang
    run = open_run(memory, window=2, batch=1)
    futures = run.submit((square, (i,), {}) for i in range(5))
    until(lambda: len(memory.sent) >= 2)
    run.cancel()
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(0)
    assert set(memory.withdrawn) == {0, 1}
    held.set()
    with pytest.raises(ConfigurationError, match="takes no more tasks"):
        run.submit([(square, (1,), {})])


def test_a_cancelled_future_is_not_sent() -> None:
    held = threading.Event()
    memory = Memory()

    def hang(job: Job, _sent: int) -> bytes:
        held.wait(20)
        return memory.answer(job)

    memory.fate = hang
    run = open_run(memory, window=1, batch=1)
    first, second, third = run.submit((square, (i,), {}) for i in range(3))
    assert second.cancel()
    held.set()
    assert (first.result(20), third.result(20)) == (0, 4)
    run.close()
    assert len(memory.sent) == 2


def test_many_threads_may_submit_at_once() -> None:
    run = open_run(Memory())
    found: list[int] = []

    def submit(base: int) -> None:
        found.extend(
            future.result(20) for future in run.submit((square, (base + i,), {}) for i in range(10))
        )

    threads = [threading.Thread(target=submit, args=(10 * n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == [i * i for i in range(100)]
    run.close()


def test_printed_output_is_relayed_with_its_task() -> None:
    memory = Memory()

    def speak(job: Job, _sent: int) -> bytes:
        outcomes = OutcomeTable.from_outcomes(
            [
                PackedOutcome(index, "value", b"\x80\x05N.", output="hello\nworld\n")
                for index in job.indexes()
            ]
        )
        return memory.answer(job, outcomes=outcomes)

    memory.fate = speak
    heard: list[tuple[int, str, bool]] = []
    run = Run(
        "r", memory, KEY, Limits(4, 4, 0.0), hooks=RunHooks(relay=lambda *said: heard.append(said))
    )
    assert [future.result(20) for future in run.submit([(square, (1,), {})])] == [None]
    assert heard == [(0, "hello\nworld\n", False)]
    run.close()


def test_a_transport_that_breaks_underneath_leaves_nobody_waiting() -> None:
    memory = Memory()

    # The transport's signature.
    def broken(sealed: SealedJob, on_reply: OnReply) -> None:  # noqa: ARG001
        raise RuntimeError("cannot schedule new futures after shutdown")

    memory.send = broken  # type: ignore[method-assign] # the fault
    run = open_run(memory, window=1, batch=1)
    futures = run.submit((square, (i,), {}) for i in range(3))
    for future in futures:
        with pytest.raises(RuntimeError, match="after shutdown"):
            future.result(20)
    run.close()


def test_a_closed_standard_output_loses_no_result() -> None:
    memory = Memory()

    def speak(job: Job, _sent: int) -> bytes:
        return memory.answer(
            job,
            outcomes=OutcomeTable.from_outcomes(
                [
                    PackedOutcome(index, "value", b"\x80\x05N.", output="x")
                    for index in job.indexes()
                ]
            ),
        )

    def relay(_index: int, _text: str, _failed: bool) -> None:
        raise ValueError("I/O operation on closed file")

    memory.fate = speak
    run = Run("r", memory, KEY, Limits(4, 4, 0.0), hooks=RunHooks(relay=relay))
    assert [future.result(20) for future in run.submit([(square, (1,), {})])] == [None]
    run.close()


def failing(times: int, error: BaseException) -> Callable[[int], int]:
    """A task that fails that often; its calls are counted here, in the process that the test shares
    with it.
    """
    left = [times]
    LEFT[id(left)] = left
    place = id(left)

    def task(i: int) -> int:
        counted = next(
            module for name, module in sys.modules.items() if name.endswith("test_run")
        ).LEFT[place]
        if counted[0]:
            counted[0] -= 1
            raise error
        return i

    return task


LEFT: dict[int, list[int]] = {}


def test_a_failed_task_is_run_again_as_often_as_asked() -> None:
    memory = Memory()
    run = open_run(memory, retries=Retries(2, wait=0.01))
    twice, thrice = run.submit(
        [(failing(2, OSError("no")), (7,), {}), (failing(3, OSError("no")), (8,), {})]
    )
    assert twice.result(20) == 7
    with pytest.raises(OSError, match="no"):
        thrice.result(20)
    run.close()
    report = run.report()
    assert (report.done, report.failed, report.retried, report.tasks) == (1, 1, 4, 2)


def test_a_failed_task_is_run_again_while_others_are_under_way() -> None:
    memory = Memory()
    held = threading.Event()

    def hold_the_second(job: Job, _sent: int) -> bytes:
        if job.number == 1:
            held.wait(20)
        return memory.answer(job)

    memory.fate = hold_the_second
    run = open_run(memory, retries=Retries(1, wait=0.01), batch=1)
    first, second = run.submit([(failing(1, OSError("no")), (7,), {}), (square, (3,), {})])
    assert first.result(10) == 7
    held.set()
    assert second.result(10) == 9
    run.close()


def test_only_after_the_errors_named() -> None:
    run = open_run(Memory(), retries=Retries(5, on=(OSError, KeyError), wait=0.0))
    retried, not_retried = run.submit(
        [(failing(1, KeyError("x")), (1,), {}), (failing(1, ValueError("x")), (2,), {})]
    )
    assert retried.result(20) == 1
    with pytest.raises(ValueError, match="x"):
        not_retried.result(20)
    run.close()


def test_a_resting_task_ends_with_its_run() -> None:
    run = open_run(Memory(), retries=Retries(1, wait=60.0))
    (future,) = run.submit([(failing(1, OSError()), (1,), {})])
    until(lambda: run.report().retried > 0)
    run.cancel()
    with pytest.raises(CancelledError):
        future.result(20)


def test_cancelled_tasks_that_wait_to_be_sent_again_do_not_hang() -> None:
    memory = Memory()

    def not_begun(job: Job, _sent: int) -> bytes | None:
        if job.number:
            return None
        return memory.answer(
            job,
            outcomes=OutcomeTable.from_outcomes(
                [PackedOutcome.from_lost(index, Lost("not_started", "")) for index in job.indexes()]
            ),
        )

    memory.fate = not_begun
    run = open_run(memory, window=1, batch=2)
    futures = run.submit((square, (i,), {}) for i in range(6))
    until(lambda: run.report().resent > 0)
    run.cancel_waiting()
    run.cancel()
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(20)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"times": -1}, "times=-1"),
        ({"times": True}, "times=True"),
        ({"on": 3}, "on=3"),
        ({"factor": 0.5}, "factor=0.5"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Retries(**policy)


def test_pauses_grow_up_to_the_longest() -> None:
    policy = Retries(10, wait=1.0, factor=3.0, longest=5.0)
    pauses = [policy.pause(OSError(), before) for before in range(11)]
    for pause, whole in zip(pauses, [1, 3, 5, 5, 5, 5, 5, 5, 5, 5], strict=False):
        assert pause is not None
        assert whole / 2 <= pause <= whole
    assert pauses[10] is None
    assert policy.pause(KeyboardInterrupt(), 0) is None


def test_what_several_tasks_share_is_sent_inside_a_job_once_and_apart_from_then_on() -> None:
    memory = Memory()
    run = open_run(memory, batch=1, window=1)
    shared = bytearray(b"s" * 20_000)
    futures = run.submit((bytes.__len__, (bytes(20_000),), {}) for _ in range(2))
    futures += run.submit((bytearray.__len__, (pickle.PickleBuffer(shared),), {}) for _ in range(3))
    assert [future.result(20) for future in futures[:2]] == [20_000] * 2
    for future in futures[2:]:
        future.exception(20)
    run.close()
    digest = Blob.from_bytes(bytes(shared)).digest
    assert [digest in job.inline for job in memory.sent] == [False, False, True, False, False]
    assert memory.held[digest] == shared


def test_arguments_larger_than_a_workers_memory_are_refused_and_nothing_is_sent() -> None:
    memory = Memory()
    run = open_run(memory, room=1 << 20)
    small, large = run.submit([(len, (b"x",), {}), (len, (b"x" * (3 << 20),), {})])
    assert small.result(20) == 1
    with pytest.raises(TooLargeError, match="arguments of task 1 take 3 MB, but a worker has 1 MB"):
        large.result(20)
    run.close()
    assert sum(len(job) for job in memory.sent) == 1


def test_cancelled_futures_are_done_for_those_who_wait() -> None:
    run = open_run(Memory(lambda _job, _sent: None), window=1, batch=1)
    futures = run.submit((square, (i,), {}) for i in range(5))
    waiter = threading.Thread(target=wait, args=(futures,))
    waiter.start()
    run.cancel_waiting()
    assert len(wait(futures, 0.5).done) == 4
    run.cancel()
    assert wait(futures, 10).not_done == set()
    waiter.join(10)
    assert not waiter.is_alive()


def test_what_is_submitted_may_itself_come_from_submitting() -> None:
    run = open_run(Memory())

    def calls() -> Iterator[Any]:
        for future in run.submit((square, (i,), {}) for i in range(3)):
            yield square, (future.result(10),), {}

    assert [future.result(10) for future in run.submit(calls())] == [0, 1, 16]
    run.close()


def test_closing_waits_until_futures_are_completed() -> None:
    run = open_run(Memory(), batch=5)
    futures = run.submit((square, (i,), {}) for i in range(5))
    futures[0].add_done_callback(lambda _: time.sleep(0.3))
    run.close()
    assert all(future.done() for future in futures)


def test_a_job_that_its_transport_reports_lost_is_sent_again_then_its_tasks_are_retried() -> None:
    memory = Memory()
    memory.fate = lambda job, _sent: (
        Unanswered(Lost("out_of_memory", "gone")) if job.number == 0 else memory.answer(job)
    )

    run = open_run(memory, attempts=2, retries=Retries(1, on=LostError, wait=0.0), batch=1)
    (future,) = run.submit([(square, (3,), {})])
    assert future.result(20) == 9
    run.close()
    report = run.report()
    assert ([job.attempt for job in memory.sent], report.resent, report.retried, report.failed) == (
        [1, 2, 1],
        1,
        1,
        0,
    )


def test_a_callback_that_shuts_the_run_down_does_not_wait_for_itself() -> None:
    run = open_run(Memory(), batch=3)
    ended = threading.Event()

    def shut_down(_: Future[Any]) -> None:
        run.close()
        ended.set()

    futures = run.submit((square, (i,), {}) for i in range(3))
    futures[0].add_done_callback(shut_down)
    assert [future.result(10) for future in futures] == [0, 1, 4]
    assert ended.wait(10)
    run.close()


def test_what_could_not_be_sent_counts_as_failed() -> None:
    run = open_run(Memory())
    good, bad = run.submit([(len, ("a",), {}), (len, (threading.Lock(),), {})])
    assert good.result(10) == 1
    with pytest.raises(NotPicklableError):
        bad.result(10)
    run.close()
    report = run.report()
    assert (report.tasks, report.done, report.failed) == (2, 1, 1)


def test_flights_that_have_landed_are_not_kept_by_one_that_has_not() -> None:
    memory = Memory()
    held = threading.Event()

    def hold_the_first(job: Job, _sent: int) -> bytes:
        if job.number == 0:
            held.wait(20)
        return memory.answer(job)

    memory.fate = hold_the_first
    run = open_run(memory, batch=1)
    first, *others = run.submit((bytearray, (1000,), {}) for _ in range(50))
    assert [len(future.result(20)) for future in others] == [1000] * 49
    kept = [weakref.ref(future) for future in others]
    del others
    run.submit([(square, (1,), {})])[0].result(20)  # the thread has gone on
    memory.sent.clear()
    deadline = time.monotonic() + 10
    while any(one() for one in kept) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    assert not any(one() for one in kept)
    held.set()
    assert first.result(20) == bytearray(1000)
    run.close()


def test_a_slow_job_gets_a_copy_when_nothing_else_waits_and_the_first_reply_wins() -> None:
    memory = Memory()
    slow = threading.Event()
    others: list[int] = []

    def fate(job: Job, sent: int) -> bytes:
        if job.number:
            others.append(job.number)
        elif sent == 1:
            slow.wait(20)
        return memory.answer(job)

    memory.fate = fate
    run = open_run(memory, batch=1)
    # It would be 2 s at the least.
    run._scheduler._stragglers.patience = lambda: 0.3 if len(others) == 19 else None  # type: ignore[method-assign]
    assert results(run, 20) == [i * i for i in range(20)]
    slow.set()
    run.close()
    report = run.report()
    assert (report.done, report.copies, report.again, report.jobs) == (20, 1, 0, 20)
    assert sum(job.number == 0 for job in memory.sent) == 2
    assert report.seconds > 0.3  # the copy that came too late is paid for


def test_no_copy_is_sent_while_tasks_wait_or_where_it_is_switched_off() -> None:
    for waits, speculate in ((True, True), (False, False)):
        memory = Memory()
        release = threading.Event()

        def hold(
            job: Job, _sent: int, memory: Memory = memory, release: threading.Event = release
        ) -> bytes:
            release.wait(20)
            return memory.answer(job)

        memory.fate = hold
        run = open_run(memory, batch=1, window=1 if waits else 4, speculate=speculate)
        run._scheduler._stragglers._seconds.extend([0.0] * 100)
        if not speculate:
            run._scheduler._stragglers._copy = False
        futures = run.submit((square, (i,), {}) for i in range(3))
        time.sleep(0.3)
        assert run._scheduler._next_slow(run._moment()) == float("inf")
        release.set()
        assert [future.result(20) for future in futures] == [0, 1, 4]
        run.close()
        assert run.report().copies == 0


def test_jobs_may_put_parts_of_their_output_while_they_run_but_for_copies() -> None:
    memory = Memory()
    slow = threading.Event()

    def fate(job: Job, sent: int) -> bytes:
        if (job.number, sent) == (0, 1):
            slow.wait(30)
        return memory.answer(job)

    memory.fate = fate
    run = open_run(memory, batch=1, live=True)
    assert results(run, 40) == [i * i for i in range(40)]
    slow.set()
    run.close()
    copies = [job for job in memory.sent if job.number == 0][1:]
    assert [job.part_interval for job in copies] == [None]
    others = [job.part_interval for job in memory.sent if job not in copies]
    assert others == pytest.approx([1.0] * 40)


@pytest.mark.parametrize(("live", "pause"), [(True, 6.0), (False, None)])
def test_the_pause_between_two_parts_grows_with_the_workers(
    *, live: bool, pause: float | None
) -> None:
    memory = Memory()
    together = threading.Event()

    def fate(job: Job, _sent: int) -> bytes:
        together.wait(30)
        return memory.answer(job)

    memory.fate = fate
    run = open_run(memory, batch=1, workers=60, window=60, live=live)
    futures = run.submit((square, (i,), {}) for i in range(120))
    until(lambda: len(memory.sent) == 60)
    together.set()
    assert [future.result(30) for future in futures] == [i * i for i in range(120)]
    run.close()
    assert [job.part_interval for job in memory.sent[:60]] == [
        pytest.approx(pause) if pause else None
    ] * 60


def test_when_one_of_two_copies_is_lost_the_other_counts() -> None:
    memory = Memory()
    both = threading.Barrier(2)

    def fate(job: Job, sent: int) -> bytes | BaseException:
        both.wait(20)
        if sent == 1:
            return Unanswered(Lost("crashed", "its environment died"))
        time.sleep(0.2)
        return memory.answer(job)

    memory.fate = fate
    run = open_run(memory, batch=1)
    run._scheduler._stragglers.patience = lambda: 0.05  # type: ignore[method-assign] # as above
    assert results(run, 1) == [0]
    run.close()
    assert (run.report().copies, run.report().again, len(memory.sent)) == (1, 0, 2)


def test_what_is_too_slow_is_learnt_from_what_nearly_all_took() -> None:
    stragglers = Stragglers({}, copy=True)
    assert stragglers.patience() is None
    for seconds in [1.0] * 90 + [50.0] * 10:
        stragglers.completed(seconds)
    assert stragglers.patience() == 3.0
    for _ in range(500):
        stragglers.completed(0.01)
    assert stragglers.patience() == 2.0
    assert Stragglers({}, copy=False).patience() is None


def dying_of(
    culprits: set[int], memory: Memory, *, known: bool
) -> Callable[[Job, int], bytes | BaseException | None]:
    """Every job with one of these tasks kills its worker whole: without a word, or with
    Lambda's.
    """

    def fate(job: Job, _sent: int) -> bytes | BaseException | None:
        if culprits & set(job.indexes()):
            return Unanswered(Lost("crashed", "Runtime exited")) if known else None
        return memory.answer(job)

    return fate


@pytest.mark.parametrize(("known", "error"), [(True, WorkerCrashedError), (False, NoReplyError)])
def test_of_a_job_that_kills_its_worker_only_the_culprit_fails(
    known: bool, error: type[Exception]
) -> None:
    memory = Memory()
    memory.fate = dying_of({5}, memory, known=known)
    run = open_run(memory, batch=16, max_wait=0.2)
    futures = run.submit((square, (i,), {}) for i in range(20))
    with pytest.raises(error):
        futures[5].result(20)
    assert [future.result(20) for future in futures if future is not futures[5]] == [
        i * i for i in range(20) if i != 5
    ]
    run.close()
    report = run.report()
    assert (report.done, report.failed) == (19, 1)
    assert set(memory.withdrawn) == {job.number for job in memory.sent}
    sizes = [len(job) for job in memory.sent if 5 in job.indexes()]
    assert sizes == [
        16,
        16,
        8,
        4,
        2,
        1,
    ]  # halved from the second time on, and not sent again as often as it takes at each size
    assert [job.attempt for job in memory.sent if 5 in job.indexes()] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_several_culprits_each_fail_alone_and_halves_hold_no_others() -> None:
    memory = Memory()
    memory.fate = dying_of({0, 9, 10, 31}, memory, known=True)
    run = open_run(memory, batch=16, window=2)
    futures = run.submit((square, (i,), {}) for i in range(48))
    assert [index for index, future in enumerate(futures) if future.exception(20)] == [0, 9, 10, 31]
    run.close()
    for job in memory.sent:
        assert len({index // 16 for index in job.indexes()}) == 1
    assert memory.most_flying <= 2


def test_where_no_worker_gives_a_sign_of_life_no_halves_are_waited_for_in_vain() -> None:
    memory = Memory(lambda _job, _sent: None)
    run = open_run(memory, batch=64, max_wait=0.1, attempts=3)
    futures = run.submit((square, (i,), {}) for i in range(64))
    for future in futures:
        with pytest.raises(NoReplyError, match=r"32 tasks\) came after 3 attempts"):
            future.result(20)
    run.close()
    assert sorted(len(job) for job in memory.sent) == [32, 32, 64, 64]


def test_with_one_attempt_nothing_is_sent_again() -> None:
    memory = Memory()
    memory.fate = dying_of({1}, memory, known=True)
    run = open_run(memory, batch=4, attempts=1)
    for future in run.submit((square, (i,), {}) for i in range(4)):
        with pytest.raises(WorkerCrashedError):
            future.result(20)
    run.close()
    assert len(memory.sent) == 1


def test_halves_take_the_blobs_that_their_tasks_need() -> None:
    memory = Memory()
    memory.fate = dying_of({3}, memory, known=True)
    run = open_run(memory, batch=4)
    shared = bytearray(b"s" * 20_000)
    futures = run.submit((bytearray.__len__, (pickle.PickleBuffer(shared),), {}) for _ in range(4))
    assert [future.result(20) for future in futures[:3]] == [20_000] * 3
    with pytest.raises(WorkerCrashedError):
        futures[3].result(20)
    run.close()


def test_a_job_that_aws_did_not_take_is_sent_again_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dolambda.scheduler.state._BACK_OFF_S", 0.2)
    memory = Memory()
    moments: list[float] = []

    def fate(job: Job, sent: int) -> bytes | BaseException:
        moments.append(time.monotonic())
        return (
            memory.answer(job)
            if sent == 3
            else Unanswered(Lost("not_started", "Lambda returned 500"))
        )

    memory.fate = fate
    run = open_run(memory, batch=1)
    assert results(run, 1) == [0]
    run.close()
    assert moments[1] - moments[0] >= 0.2
    assert moments[2] - moments[1] >= 0.4


def test_what_is_put_off_ends_with_its_run() -> None:
    run = open_run(
        Memory(lambda _job, _sent: Unanswered(Lost("not_started", "Lambda returned 500"))), batch=1
    )
    (future,) = run.submit([(square, (1,), {})])
    until(lambda: run.report().again > 0)
    run.cancel()
    with pytest.raises(CancelledError):
        future.result(20)


def test_callbacks_may_take_a_lock_that_is_held_while_submitting() -> None:
    run = open_run(Memory())
    lock, finished, told = threading.Lock(), threading.Event(), [0]

    def count(_future: Future[Any]) -> None:
        with lock:
            told[0] += 1

    def submit() -> None:
        for i in range(2000):  # every other one cannot be pickled
            with lock:
                future = run.submit_one((square, (i if i % 2 else threading.Lock(),), {}))
            future.add_done_callback(count)
        finished.set()

    threading.Thread(target=submit, daemon=True).start()
    assert finished.wait(60), "the callback of a refused task waits for the thread that submits"
    until(lambda: told[0] == 2000)
    run.close()


class EndsTheRun:
    """An argument during whose pickling another thread ends the run."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __reduce__(self) -> Any:
        closer = threading.Thread(target=self.run.close)
        closer.start()
        closer.join(30)
        assert not closer.is_alive()
        return int, (3,)


def test_a_call_that_is_submitted_as_the_run_ends_is_refused_and_waits_for_nothing() -> None:
    run = open_run(Memory())
    assert run.submit_one((square, (2,), {})).result(20) == 4
    with pytest.raises(ConfigurationError, match="shut down"):
        run.submit_one((square, (EndsTheRun(run),), {}))


def test_a_map_that_is_submitted_as_the_run_ends_has_all_its_outcomes() -> None:
    run, pieces = open_run(Memory()), Pieces(in_order=True)
    assert run.submit_one((square, (2,), {})).result(20) == 4
    with pytest.raises(ConfigurationError, match="shut down"):
        run.submit_stream(square, [(EndsTheRun(run),), (5,)], pieces.receiver)
    error = pieces.take(time.monotonic() + 20)[3]
    assert isinstance(error, CancelledError)


def test_a_job_that_is_cancelled_while_it_is_sent_leaves_nothing() -> None:
    class CancelledMeanwhile(Memory):
        def send(self, sealed: SealedJob, on_reply: OnReply) -> None:
            if sealed.number == 1:
                run.cancel()
                # What was removed so far was removed before this job was there.
                self.withdrawn.clear()
            super().send(sealed, on_reply)

    memory = CancelledMeanwhile(lambda _job, _sent: None)
    run = open_run(memory, batch=1)
    futures = [run.submit_one((square, (i,), {})) for i in range(2)]
    until(lambda: 1 in memory.withdrawn)
    wait(futures, 20)
    assert all(future.cancelled() or future.exception(20) for future in futures)


def test_a_map_keeps_nothing_of_what_was_taken() -> None:
    pieces = Pieces(in_order=True)
    tracemalloc.start()
    try:
        for i in range(20_000):
            pieces.receiver(1).deliver(0, [i])
            pieces.take(None)
            if i == 1000:
                before = tracemalloc.get_traced_memory()[0]
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()


class WaitsFor:
    """An argument whose pickling takes until something holds."""

    def __init__(self, holds: Callable[[], bool]) -> None:
        self.holds = holds

    def __reduce__(self) -> Any:
        until(self.holds)
        return int, (7,)


def test_all_workers_have_something_to_do_while_a_map_is_still_pickled() -> None:
    memory, pieces = Memory(), Pieces(in_order=True)
    started = threading.Barrier(3, timeout=60)  # of three jobs at a time

    def together(job: Job, _sent: int) -> bytes:
        if job.parts[0].first < 3:
            started.wait()
        return memory.answer(job)

    memory.fate = together
    run = open_run(memory, batch=1)
    inputs = [*range(300), WaitsFor(lambda: len(memory.sent) > 3)]
    run.submit_stream(square, [(one,) for one in inputs], pieces.receiver)
    values = list(values_of(pieces, None, None, return_exceptions=False))
    assert values == [i * i for i in range(300)] + [49]
    run.close()
