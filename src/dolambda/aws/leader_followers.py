"""Delivery of replies in the thread that fetched them (the leader/followers pattern).

**Input:** calls to make. **Output:** the calls, begun in order.

Code that unpickles results and completes futures needs the interpreter to itself. A separate thread
for it would wait for the thread that moves the bytes, and vice versa, at every job (measured: a
quarter more CPU for each job). But a user's callback may block, even wait for another task. So one
thread leads: it moves bytes, makes the resulting calls, and continues. When a call has taken
`_STUCK` seconds, another thread takes the lead, and the stuck one ends with its call.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("dolambda")

_STUCK = 0.1
_MOST = 1000  # threads that are stuck at once; one more, and all wait for them
_TELLING = 1.0  # seconds of waiting after which callbacks are to blame
_PATIENCE = 60.0
_TOGETHER = 32  # calls after which the calls that wait for their end are made at the latest


class LeaderFollowers:
    """The calls and the leading thread. Thread-safe, except for methods of the leading thread."""

    def __init__(self, wake: Callable[[], None], take_lead: Callable[[], None]) -> None:
        """Prepare the delivery.

        Args:
            wake: Makes the leading thread call `work` soon.
            take_lead: Starts a thread that leads in the place of a stuck one.
        """
        self._wake = wake
        self._take_lead = take_lead
        self._lock = threading.Lock()
        self._calls: deque[Callable[[], object]] = deque()
        self._afterwards: dict[Callable[[], object], None] = {}
        self._leader: int | None = None
        self._calling = False
        self._begun = 0
        self._stuck = 0
        self._watched = False
        self._busy = threading.Event()
        self._closed = threading.Event()

    @property
    def leads(self) -> bool:
        """True if the calling thread leads."""
        return self._leader == threading.get_ident()

    def hand_over(self, call: Callable[[], object]) -> None:
        """Have a call made in the leading thread, or in this one when nothing leads any more."""
        with self._lock:
            if open_ := not self._closed.is_set():
                self._calls.append(call)
        if not open_:
            self._make(call)
        elif not self.leads:
            try:
                self._wake()
            except RuntimeError:  # no thread can be started to lead
                if self._take_back(call):
                    self._make(call)

    def make_in_lead(self, call: Callable[[], object]) -> None:
        """Have a call made in the leading thread, and return when it has been made.

        Work that needs the interpreter and sends requests is done there faster than beside it. This
        thread makes the call itself if the leading one does not begin it in time, or if none leads.

        Raises:
            BaseException: What the call raises.
        """
        if self.leads or not self._watched:  # nothing has been sent yet
            call()
            return
        made, errors = threading.Event(), list[BaseException]()

        def make() -> None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - it is raised below
                errors.append(error)
            finally:
                made.set()

        self.hand_over(make)
        if not made.wait(_STUCK) and self._take_back(make):
            make()
        made.wait()  # it has begun, and ends as surely as if it were made here
        if errors:
            raise errors.pop()

    def _take_back(self, call: Callable[[], object]) -> bool:
        """Remove a call that was handed over. Return False if it has begun."""
        try:
            self._calls.remove(call)
        except (ValueError, IndexError):  # begun, or another call has just been taken
            return False
        return True

    def after_calls(self, call: Callable[[], object]) -> None:
        """Have a short call made once after the calls that wait, some of them at least.

        Threads that wait for results are woken like this: once for the replies that have arrived
        together. Outside the leading thread the call is made at once.
        """
        with self._lock:
            if leads := self.leads:
                self._afterwards[call] = None
        if not leads:
            self._make(call)

    def watch(self) -> None:
        """Start a thread that checks whether a call takes too long.

        Call it before a thread leads.
        """
        if not self._watched:
            threading.Thread(target=self._watch, name="dolambda-watch", daemon=True).start()
            self._watched = True

    def flush(self, seconds: float = _PATIENCE) -> None:
        """Wait until the calls are done, or stuck.

        In the leading thread, return at once: it makes the calls afterwards.
        """
        if self._watched and not self.leads:  # otherwise there was no call
            done = threading.Event()
            self.hand_over(done.set)
            self._wait(done, seconds)

    def wait_finished(self, seconds: float = _PATIENCE) -> bool:
        """Wait for `finish`, and return whether all calls are done.

        In the leading thread, do not wait.
        """
        return not self.leads and self._wait(self._closed, seconds)

    # Methods of the leading thread.

    @property
    def has_calls(self) -> bool:
        """True if calls wait to be made."""
        return bool(self._calls or self._afterwards)

    def lead(self) -> None:
        """Become the thread that leads."""
        self._leader = threading.get_ident()

    def work(self) -> bool:
        """Make the waiting calls. Return whether this thread still leads, in case one took long."""
        while call := self._take_next():
            self._begun += 1
            self._calling = True
            if not self._busy.is_set():
                self._busy.set()
            self._make(call)
            del call  # no part of it may outlive the call
            with self._lock:
                if not self.leads:
                    self._stuck -= 1
                    return False
                self._calling = False
        return True

    def _take_next(self) -> Callable[[], object] | None:
        if self._calls and not (self._afterwards and self._begun % _TOGETHER == 0):
            return self._calls.popleft()
        if not self._afterwards:
            return None
        call = next(iter(self._afterwards))
        del self._afterwards[call]
        return call

    def finish(self) -> None:
        """Make the waiting calls. Later calls are made by the threads that submit them."""
        while self.work():
            with self._lock:
                if not self.has_calls:
                    self._closed.set()
                    self._leader = None
                    break
        self._busy.set()

    def _watch(self) -> None:
        """Check only while a call is running."""
        while not self._closed.is_set():
            self._busy.wait()
            begun = self._begun if self._calling else None
            self._closed.wait(_STUCK)
            with self._lock:
                stuck = self._calling and self._begun == begun and self._stuck < _MOST
                replaced = stuck and self._replace_leader()
            if not replaced:
                self._busy.clear()
                if self._calling:  # still, or a call began in between
                    self._busy.set()

    def _replace_leader(self) -> bool:
        """Have another thread lead. Return whether one could be started. Called under the lock."""
        leader, self._leader, self._calling = self._leader, None, False
        self._stuck += 1
        try:
            self._take_lead()
        except RuntimeError:
            # Then this one leads again when its call returns, and is checked again.
            self._leader, self._calling = leader, True
            self._stuck -= 1
            return False
        return True

    def _wait(self, event: threading.Event, seconds: float) -> bool:
        if not (happened := event.wait(seconds)):
            # After a shorter wait a callback need not be the reason.
            level = logging.WARNING if seconds >= _TELLING else logging.DEBUG
            log.log(level, "replies were not delivered: callbacks of futures do not return")
        return happened

    def _make(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException:
            # A defect in dolambda, or a user's callback that ended its thread, which others need.
            log.exception("a reply could not be delivered")
