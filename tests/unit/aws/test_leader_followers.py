"""Replies are handed over in one thread at a time, which nobody can hold up for long."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from dolambda.aws.invoke import Invoker
from dolambda.aws.leader_followers import LeaderFollowers
from dolambda.aws.reactor import Reactor
from dolambda.aws.request_counter import RequestCounter
from dolambda.errors import AwsError
from support.http_server import Server, account
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON = 20.0  # seconds after which something that should happen has not


@pytest.fixture
def reactor(server: Server) -> Iterator[Reactor]:
    made = Reactor(account(server.url))
    yield made
    made.close()


def test_calls_are_made_in_order_in_one_thread_that_is_not_the_callers(reactor: Reactor) -> None:
    made: list[tuple[int, int]] = []
    for i in range(100):
        reactor.followers.hand_over(partial(lambda i: made.append((i, threading.get_ident())), i))
    reactor.followers.flush()
    assert [i for i, _ in made] == list(range(100))
    assert len({thread for _, thread in made} - {threading.get_ident()}) == 1


def test_while_a_call_blocks_requests_are_answered_and_calls_made(
    reactor: Reactor, server: Server
) -> None:
    release, answers = threading.Event(), list[object]()
    invoker = Invoker(reactor, account(server.url), "f", RequestCounter())
    try:
        for _ in range(3):
            reactor.followers.hand_over(partial(release.wait, SOON))
        invoker.send(
            b"{}", lambda answer: reactor.followers.hand_over(partial(answers.append, answer))
        )
        deadline = time.monotonic() + SOON
        while not answers and time.monotonic() < deadline:
            time.sleep(0.01)
        assert isinstance(answers[0], bytes)
        assert not release.is_set()
    finally:
        release.set()


def test_those_that_were_held_up_end(reactor: Reactor) -> None:
    release, before = threading.Event(), _requesting()
    reactor.followers.hand_over(partial(release.wait, SOON))
    reactor.followers.flush()  # another thread leads by now
    release.set()
    deadline = time.monotonic() + SOON
    while len(_requesting() - before) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(_requesting() - before) == 1


def followers() -> LeaderFollowers:
    """Followers that this thread leads: it decides when the calls are made."""
    made = LeaderFollowers(lambda: None, lambda: None)
    made.lead()
    return made


def test_a_thread_is_woken_once_for_the_calls_that_wait_together() -> None:
    led, order = followers(), list[object]()

    def wake() -> None:
        order.append("wake")

    def call(i: int) -> None:
        order.append(i)
        led.after_calls(wake)

    for i in range(3):
        led.hand_over(partial(call, i))
    assert led.work()
    assert order == [0, 1, 2, "wake"]
    led.hand_over(partial(call, 3))
    assert led.work()
    assert order[4:] == [3, "wake"]


def test_a_thread_is_woken_although_calls_keep_coming() -> None:
    led, order = followers(), list[object]()

    def call(i: int) -> None:
        order.append(i)
        if not i:
            led.after_calls(lambda: order.append("wake"))
        if i < 500:
            led.hand_over(partial(call, i + 1))

    led.hand_over(partial(call, 0))
    assert led.work()
    assert order.index("wake") < 100


def test_a_thread_that_does_not_lead_is_not_kept_from_waking_others(reactor: Reactor) -> None:
    woken = threading.Event()
    reactor.followers.after_calls(woken.set)
    assert woken.is_set()


def test_a_thread_is_woken_while_a_later_call_blocks(reactor: Reactor) -> None:
    release, woken = threading.Event(), threading.Event()
    try:
        reactor.followers.hand_over(lambda: reactor.followers.after_calls(woken.set))
        reactor.followers.hand_over(partial(release.wait, SOON))
        assert woken.wait(SOON)
        assert not release.is_set()
    finally:
        release.set()


def test_a_call_in_lead_is_made_in_the_leading_thread_and_raises_here(reactor: Reactor) -> None:
    made: list[int] = []

    def fail() -> None:
        made.append(threading.get_ident())
        raise TimeoutError("its own")

    reactor.followers.make_in_lead(lambda: made.append(threading.get_ident()))
    assert made == [threading.get_ident()]  # nothing was sent yet, so nothing leads
    reactor.followers.hand_over(lambda: made.append(threading.get_ident()))
    reactor.followers.flush()
    with pytest.raises(TimeoutError, match="its own"):
        reactor.followers.make_in_lead(fail)
    assert made[2] == made[1] != threading.get_ident()
    inner: list[int] = []
    reactor.followers.make_in_lead(
        lambda: reactor.followers.make_in_lead(lambda: inner.append(threading.get_ident()))
    )
    assert inner == [made[1]]


def test_a_call_is_made_once_and_here_while_the_leading_thread_is_busy() -> None:
    led = followers()
    led.watch()
    busy, made = threading.Event(), list[int]()

    def lead() -> None:
        led.lead()
        busy.wait(SOON)
        led.work()

    thread = threading.Thread(target=lead)
    thread.start()
    try:
        led.make_in_lead(lambda: made.append(threading.get_ident()))
        assert made == [threading.get_ident()]
    finally:
        busy.set()
        thread.join(SOON)
    assert made == [threading.get_ident()]


def test_a_call_that_raises_ends_nothing(
    reactor: Reactor, caplog: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise SystemExit

    made = threading.Event()
    reactor.followers.hand_over(leave)
    reactor.followers.hand_over(made.set)
    assert made.wait(SOON)
    assert "could not be delivered" in caplog.text


def test_a_call_may_flush_and_close(reactor: Reactor) -> None:
    made: list[str] = []

    def call() -> None:
        reactor.followers.flush()
        reactor.close()
        made.append("closed")

    reactor.followers.hand_over(call)
    reactor.followers.hand_over(partial(made.append, "after"))
    reactor.followers.flush()
    assert made == ["closed", "after"]


def test_once_closed_calls_are_made_where_they_are_handed_over(reactor: Reactor) -> None:
    reactor.close()
    made: list[int] = []
    reactor.followers.hand_over(lambda: made.append(threading.get_ident()))
    assert made == [threading.get_ident()]


def test_closing_does_not_wait_for_a_call_that_blocks(reactor: Reactor) -> None:
    release, before = threading.Event(), _requesting()
    reactor.followers.hand_over(partial(release.wait, SOON))
    try:
        reactor.close()
        assert not release.is_set()
        assert len(_requesting() - before) == 1  # the one that is stuck
    finally:
        release.set()


@pytest.mark.parametrize(("seconds", "told"), [(0.0, False), (1.5, True)])
def test_callbacks_are_blamed_only_after_a_wait(
    reactor: Reactor, caplog: pytest.LogCaptureFixture, seconds: float, *, told: bool
) -> None:
    release = threading.Event()
    try:
        for _ in range(1001):  # as many as may be stuck at once, and one that holds up all others
            reactor.followers.hand_over(partial(release.wait, SOON))
        reactor.followers.flush(seconds)
    finally:
        release.set()
    assert ("callbacks of futures do not return" in caplog.text) == told


def test_closing_waits_for_the_thread_that_is_about_to_lead(server: Server) -> None:
    class Slow(Reactor):
        def _take_lead(self) -> None:
            time.sleep(0.3)
            super()._take_lead()

    def call() -> None:
        time.sleep(0.2)
        called.set()

    before, called = _requesting(), threading.Event()
    reactor = Slow(account(server.url))
    reactor.followers.hand_over(call)
    assert called.wait(SOON)
    reactor.close()  # the one thread has ended, the next has not begun
    made: list[int] = []
    reactor.followers.hand_over(lambda: made.append(threading.get_ident()))
    assert made == [threading.get_ident()]
    until(lambda: not _requesting() - before)  # the first thread may not have returned yet


def _requesting() -> set[threading.Thread]:
    """Threads of reactors, other tests' among them."""
    return {thread for thread in threading.enumerate() if thread.name == "dolambda-requests"}


def refuse(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_what_sent_nothing_starts_no_thread_to_flush_and_close(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", refuse)  # as Python 3.12 does at its end
    made = Reactor(account(server.url))
    made.followers.flush()
    made.close()
    with pytest.raises(AwsError, match="was closed"):
        Invoker(made, account(server.url), "f", RequestCounter()).send(b"{}", lambda _: None)


def test_where_no_thread_can_be_started_who_sends_hears_of_it_once_and_may_try_again(
    reactor: Reactor, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoker, answers = Invoker(reactor, account(server.url), "f", RequestCounter()), list[object]()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        invoker.send(b"first", answers.append)
    called: list[str] = []
    reactor.followers.hand_over(partial(called.append, "here"))
    assert called == ["here"]
    monkeypatch.undo()
    invoker.send(b"second", answers.append)
    until(lambda: bool(answers))
    assert [body for _, _, body in server.seen] == [b"second"]


def test_a_leader_that_cannot_be_replaced_leads_on_when_its_call_returns(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    reactor.followers.flush()
    reactor.followers.hand_over(lambda: None)
    reactor.followers.flush()
    release, made = threading.Event(), threading.Event()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    reactor.followers.hand_over(partial(release.wait, SOON))
    reactor.followers.hand_over(made.set)
    assert not made.wait(1)  # several times as long as after which it would be replaced
    release.set()
    assert made.wait(SOON)
    monkeypatch.undo()
    release.clear()
    made.clear()
    reactor.followers.hand_over(partial(release.wait, SOON))
    reactor.followers.hand_over(made.set)
    assert made.wait(SOON)  # and later it is replaced as ever
    release.set()


def test_a_hundred_calls_may_wait_at_once_for_another(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.aws.leader_followers._STUCK", 0.01)
    release = threading.Event()
    for _ in range(100):
        reactor.followers.hand_over(partial(release.wait, 3 * SOON))
    reactor.followers.hand_over(release.set)
    assert release.wait(3 * SOON)


def test_a_connection_that_broke_says_so_to_those_who_come_later(
    reactor: Reactor, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("a defect")

    monkeypatch.setattr(reactor, "_step", broken)
    invoker, answers = Invoker(reactor, account(server.url), "f", RequestCounter()), list[object]()
    invoker.send(b"{}", answers.append)
    until(lambda: bool(answers))
    assert isinstance(answers[0], AwsError)
    with pytest.raises(AwsError, match="the connection to AWS broke: OSError"):
        invoker.send(b"{}", answers.append)
