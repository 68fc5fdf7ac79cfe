"""Handing replies over, in the thread that fetched them.

On entry: calls to be made; on leaving: made, begun in order.

Who unpickles results and completes futures needs the interpreter to itself: a thread of its own for
that would wait for the one that moves the bytes, and that one for it, at every job (measured: a
quarter more CPU a job). A user's callback may block, though, even wait for another task. So one
thread leads: it moves bytes, makes the calls that came of it, and goes on. When one call has taken
`_STUCK` seconds, another thread takes the lead, and the one that is stuck ends with its call.
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
_MOST = 1000  # threads that are stuck at once; with one more, all wait for them
_TELLING = 1.0  # seconds of waiting after which callbacks are to blame
_PATIENCE = 60.0


class LeaderFollowers:
    """For any thread, but for what only the leading one calls."""

    def __init__(self, wake: Callable[[], None], take_lead: Callable[[], None]) -> None:
        """``wake`` makes the leading thread `work` soon, ``take_lead`` starts a thread that leads in the place of one that is stuck."""
        self._wake = wake
        self._take_lead = take_lead
        self._lock = threading.Lock()
        self._calls: deque[Callable[[], object]] = deque()
        self._leader: int | None = None
        self._calling = False
        self._begun = 0
        self._stuck = 0
        self._watched = False
        self._busy = threading.Event()
        self._closed = threading.Event()

    @property
    def leads(self) -> bool:
        """Whether the calling thread is the one that leads."""
        return self._leader == threading.get_ident()

    def hand_over(self, call: Callable[[], object]) -> None:
        """Have a call made in the leading thread; once there is none any more, here."""
        with self._lock:
            if open_ := not self._closed.is_set():
                self._calls.append(call)
        if not open_:
            self._make(call)
        elif not self.leads:
            try:
                self._wake()
            except RuntimeError:  # no thread can be started to lead
                with self._lock:
                    if call not in self._calls:
                        return
                    self._calls.remove(call)
                self._make(call)

    def watch(self) -> None:
        """Have a thread look whether a call takes too long. Before the first thread leads."""
        if not self._watched:
            threading.Thread(target=self._watch, name="dolambda-watch", daemon=True).start()
            self._watched = True

    def flush(self, seconds: float = _PATIENCE) -> None:
        """Wait until what was handed over is done, or stuck.

        In the leading thread itself do nothing: it is done there afterwards.
        """
        if self._watched and not self.leads:  # else nothing was ever handed over
            done = threading.Event()
            self.hand_over(done.set)
            self._wait(done, seconds)

    def wait_finished(self, seconds: float = _PATIENCE) -> bool:
        """Wait for `finish`, and tell whether all is handed over.

        In the leading thread itself do not wait.
        """
        return not self.leads and self._wait(self._closed, seconds)

    # In the thread that leads.

    @property
    def has_calls(self) -> bool:
        """Whether calls wait to be made."""
        return bool(self._calls)

    def lead(self) -> None:
        """Become the thread that leads."""
        self._leader = threading.get_ident()

    def work(self) -> bool:
        """Make the calls that wait; tell whether this thread still leads, when one took long."""
        while self._calls:
            call = self._calls.popleft()
            self._begun += 1
            self._calling = True
            if not self._busy.is_set():
                self._busy.set()
            self._make(call)
            del call  # nothing of it may outlive its being handed over
            with self._lock:
                if not self.leads:
                    self._stuck -= 1
                    return False
                self._calling = False
        return True

    def finish(self) -> None:
        """Make the calls that wait; from then on each is made where it is handed over."""
        while self.work():
            with self._lock:
                if not self._calls:
                    self._closed.set()
                    self._leader = None
                    break
        self._busy.set()

    def _watch(self) -> None:
        """Look only while there is something to look at."""
        while not self._closed.is_set():
            self._busy.wait()
            begun = self._begun if self._calling else None
            self._closed.wait(_STUCK)
            with self._lock:
                stuck = self._calling and self._begun == begun and self._stuck < _MOST
                replaced = stuck and self._replace_leader()
            if not replaced:
                self._busy.clear()
                if self._calling:  # still, or it began in between and took it for set
                    self._busy.set()

    def _replace_leader(self) -> bool:
        """Have another thread lead; tell whether one could be started. Called under the lock."""
        leader, self._leader, self._calling = self._leader, None, False
        self._stuck += 1
        try:
            self._take_lead()
        except RuntimeError:  # then it leads on when its call returns, and is looked at again
            self._leader, self._calling = leader, True
            self._stuck -= 1
            return False
        return True

    def _wait(self, event: threading.Event, seconds: float) -> bool:
        if not (happened := event.wait(seconds)):
            # After a shorter wait nobody can say that a callback is the reason.
            level = logging.WARNING if seconds >= _TELLING else logging.DEBUG
            log.log(level, "replies were not handed over: callbacks of futures do not return")
        return happened

    def _make(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException:
            # Our own defect, or what a user's callback raised to end its thread, which others need.
            log.exception("a reply could not be handed over")
