"""Threads for large objects, which nobody has to wait for."""

from __future__ import annotations

import threading
import time

import pytest

from dolambda.transport.daemon_pool import DaemonPool


def test_calls_are_made_by_several_threads_and_by_no_more_than_there_may_be() -> None:
    pool, together = DaemonPool(3, "test-pool"), threading.Barrier(3)
    threads: set[int] = set()
    done = threading.Semaphore(0)

    def call() -> None:
        together.wait(20)
        threads.add(threading.get_ident())
        done.release()

    for _ in range(12):
        pool.submit(call)
    assert all(done.acquire(timeout=20) for _ in range(12))
    assert len(threads) == 3
    pool.close(time.monotonic() + 20)


def test_closing_drops_what_waits_and_waits_for_the_rest_only_so_long() -> None:
    pool, release, begun = DaemonPool(1, "test-pool"), threading.Event(), threading.Event()
    made: list[str] = []

    def call() -> None:
        begun.set()
        release.wait(60)

    pool.submit(call)
    pool.submit(lambda: made.append("dropped"))
    assert begun.wait(20)
    pool.close(time.monotonic() + 0.1)
    release.set()
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(lambda: None)
    assert made == []


def test_its_threads_do_not_hold_up_the_interpreters_end() -> None:
    pool, release = DaemonPool(1, "test-pool-daemon"), threading.Event()
    pool.submit(lambda: release.wait(60) and None)
    (thread,) = (one for one in threading.enumerate() if one.name == "test-pool-daemon")
    assert thread.daemon
    release.set()
    pool.close(time.monotonic() + 20)


def test_a_call_that_raises_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    pool, done = DaemonPool(1, "test-pool"), threading.Event()

    def leave() -> None:
        raise SystemExit

    pool.submit(leave)
    pool.submit(done.set)
    assert done.wait(20)
    assert "failed" in caplog.text
    pool.close(time.monotonic() + 20)


def test_with_one_thread_it_does_without_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    none, one = DaemonPool(2, "test-pool"), DaemonPool(2, "test-pool")
    done = threading.Semaphore(0)
    one.submit(lambda: time.sleep(0.2))
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        none.submit(done.release)
    one.submit(done.release)
    assert done.acquire(timeout=20)
    monkeypatch.undo()
    none.submit(done.release)
    assert done.acquire(timeout=20)
    none.close(time.monotonic() + 20)
    one.close(time.monotonic() + 20)
