"""The client's end of the queue.

**Input:** sealed jobs. **Output:** sealed replies, unread. See `dolambda.transport.queue` for both
ends.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from dolambda.errors import AccessDeniedError, AwsError
from dolambda.transport.base import Unanswered, closed_underneath
from dolambda.transport.clean_up import CleanUp, left
from dolambda.transport.daemon_pool import DaemonPool
from dolambda.transport.poll_interval import PollInterval
from dolambda.transport.waiting import Waiting
from dolambda.wire import keys
from dolambda.wire.outcome import NOT_STARTED, Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolambda.aws.leader_followers import LeaderFollowers
    from dolambda.aws.objects import Bucket
    from dolambda.aws.request import Request
    from dolambda.aws.small_objects import SmallObjects
    from dolambda.errors import DolambdaError, RunTakenOverError
    from dolambda.transport.base import OnReply, SealedJob
    from dolambda.transport.lease.client import Leases
    from dolambda.transport.uploads import Uploads

log = logging.getLogger("dolambda")

_THREADS = 16
_PATIENCE = 200.0  # seconds, longer than any request is repeated
# Seconds of nothing but failed polls, after which all receivers get the error.
_LOOKS_FAIL = 120.0
# ... of denied polls: a single denial may come from anything between this machine and S3.
_LOOKS_DENIED = 10.0
# Seconds between two checks whether another client has taken over the run.
_CHECK_EVERY_S = 5.0
_FETCHES = 3  # times that a reply is fetched whose size is not the listed one
# Seconds after its job was withdrawn in which a reply may still arrive: a worker that takes longer
# than the next polls asks first.
_LATE = 1.0


class S3Queue:
    """The client's end."""

    queues = True
    _next_check = 0.0  # on the monotonic clock

    def __init__(
        self,
        bucket: Bucket,
        small: SmallObjects,
        uploads: Uploads,
        leases: Leases,
        client: str,
        followers: LeaderFollowers,
        *,
        throttle: float,
        keep: bool = False,
        taken_over: Callable[[], RunTakenOverError | None] | None = None,
        clean_up: CleanUp | None = None,
    ) -> None:
        """Prepare the queue. Nothing is sent yet.

        ``throttle`` is the longest pause between two polls, in seconds. With ``keep`` the replies
        stay. ``taken_over`` returns an error once another client has the run.
        """
        self.calls = bucket.calls
        self._bucket = bucket
        self._small = small
        self._uploads = uploads
        self._leases = leases
        self._prefix = keys.replies_prefix(client)
        self._pace = PollInterval(throttle)
        self._keep = keep
        self._waiting: Waiting[str] = Waiting()
        self._followers = followers
        self._pool = DaemonPool(_THREADS, "dolambda-large")
        self._clean_up = clean_up or CleanUp()
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._puts: dict[str, list[Request | None]] = {}
        """PUTs in flight by the key of their reply. Those of large jobs have no request that can be
        dropped.
        """
        self._fetching: set[str] = set()
        self._copied: set[str] = set()
        """Replies to jobs that were sent more than once: another worker may still run such a job.
        """
        self._cut_off: dict[str, int] = {}
        """Number of times that a reply did not have the listed size."""
        self._failing = math.inf  # when polls began to fail, on the monotonic clock
        self._broken: DolambdaError | None = None
        self._taken_over = taken_over
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._poller: threading.Thread | None = None
        self._unanswered = -math.inf  # when a job was withdrawn last that a worker may be running

    def send(self, job: SealedJob, on_reply: OnReply) -> None:
        """See `Transport.send`."""
        key = keys.reply_key(job.run, job.number)
        with self._lock:
            self._ensure_polled()
            puts = self._puts.setdefault(key, [])
            puts.append(None)
            at = len(puts) - 1
        self._waiting.add(key, on_reply)
        put = partial(self._put, key, on_reply)
        try:
            if len(job.data) > self._small.most or not self._uploads.there(job.blobs):
                self._pool.submit(partial(self._put_large, job, put))
                return
            request = self._small.put(keys.job_key(job.run, job.number), job.data, put)
        except BaseException:  # closed, or no thread can be started: it is not sent
            self._waiting.take_one(key, on_reply)
            put(None)
            raise
        with self._lock:
            if len(puts) > at:
                puts[at] = request

    def room(self, most: int) -> int:
        """See `Transport.room`: jobs wait in the queue."""
        return most

    def withdraw(self, run: str, numbers: Sequence[int]) -> None:
        """See `Transport.withdraw`.

        A job whose PUT is in flight is removed after it. Otherwise its object would remain.
        """
        replies = [keys.reply_key(run, number) for number in numbers]
        waited = self._waiting.forget(replies)
        if waited:
            self._unanswered = time.monotonic()
        with self._lock:
            for key in replies:
                for request in self._puts.get(key, ()):
                    if request:
                        request.dropped = True
            self._changed.wait_for(lambda: self._puts.keys().isdisjoint(replies), _PATIENCE)
        self._stop_workers(run, numbers, replies, waited)
        self._bucket.delete(
            [keys.job_key(run, number) for number in numbers] + ([] if self._keep else replies)
        )

    def _stop_workers(
        self, run: str, numbers: Sequence[int], replies: list[str], waited: set[str]
    ) -> None:
        """Withdraw jobs that workers may be running, before their objects are removed."""
        maybe = waited | self._copied
        self._leases.withdraw(
            run, [number for number, key in zip(numbers, replies, strict=True) if key in maybe]
        )
        self._copied.difference_update(replies)

    def in_turn(self, call: Callable[[], None]) -> None:
        """See `Transport.in_turn`."""
        self._followers.make_in_lead(call)

    def after_replies(self, call: Callable[[], None]) -> None:
        """See `Transport.after_replies`."""
        self._followers.after_calls(call)

    def close(self) -> None:
        """See `Transport.close`."""
        until = self._clean_up.until()
        waiting = self._waiting.take_all()
        self._closing.set()
        self._wake.set()
        self._pool.close(until)
        for on_reply in waiting:
            self._followers.hand_over(partial(on_reply, closed_underneath()))
        if self._poller and self._poller is not threading.current_thread():
            self._poller.join(left(until))
            if done := not self._poller.is_alive():
                self._followers.flush()
            elif not self._clean_up.abandoned:
                log.warning("late replies could not be removed in time, they expire by themselves")
            self._clean_up.ended(done=done)

    def _ensure_polled(self) -> None:
        """Start a thread that polls for replies. Raises RuntimeError if it cannot be started."""
        if self._broken:
            raise self._broken
        if self._poller is None:
            poller = threading.Thread(target=self._poll, name="dolambda-poller", daemon=True)
            poller.start()
            self._poller = poller

    def _sweep(self) -> None:
        """Remove replies that arrived after their jobs were withdrawn. Later ones expire."""
        time.sleep(max(0.0, self._unanswered + _LATE - time.monotonic()))
        try:
            self._bucket.delete(self._bucket.list(self._prefix))
        except AwsError as error:
            log.warning("late replies were not removed, they expire by themselves: %s", error)

    def _put_large(self, job: SealedJob, put: Callable[[BaseException | None], None]) -> None:
        try:
            for blob in job.blobs:
                self._uploads.once(blob)
            if keys.reply_key(job.run, job.number) in self._waiting:
                # Otherwise it was withdrawn meanwhile.
                self._bucket.put(keys.job_key(job.run, job.number), job.data)
        except BaseException as error:  # noqa: BLE001
            # The receiver must get any error.
            put(error)
        else:
            put(None)

    def _put(self, key: str, on_reply: OnReply, error: BaseException | None) -> None:
        """Process the end of a PUT."""
        with self._lock:
            puts = self._puts[key]
            puts.pop()
            if not puts:
                del self._puts[key]
                self._changed.notify_all()
        if error is None:
            self._wake.set()
        elif self._waiting.take_one(key, on_reply):
            self._followers.hand_over(partial(on_reply, error))

    def _poll(self) -> None:
        """Poll for replies until closed, then remove those of cancelled jobs.

        This is done in the same thread: no other can be started while the interpreter ends.
        """
        try:
            self._look_until_closed()
            if not (self._keep or self._clean_up.abandoned):
                self._sweep()
        except BaseException as error:  # a defect: receivers must get an error
            log.exception("polling for replies failed")
            broken = self._broken = AwsError(
                f"polling for replies failed: {error!r}",
                hint="Open a new session: dolambda.register().",
            )
            for on_reply in self._waiting.take_all():
                self._followers.hand_over(partial(on_reply, broken))

    def _look_until_closed(self) -> None:
        """Poll at the intervals of `PollInterval`. Without jobs, sleep until one is sent."""
        pace = self._pace
        while not self._closing.wait(pace.soonest):
            if len(self._waiting) == 0:
                self._wake.wait()
                self._wake.clear()
                pace.sent()
                continue
            if pace.pause > pace.soonest:
                if not pace.heeds_sending(len(self._waiting)):
                    self._closing.wait(pace.pause - pace.soonest)
                elif self._wake.wait(pace.pause):
                    pace.sent()
                self._wake.clear()
            self._check_taken_over()
            wanted = self._waiting.places() - self._fetching
            if wanted:
                pace.looked(self._look(wanted), len(wanted))

    def _check_taken_over(self) -> None:
        """Let all receivers have the error once another client has taken over the run."""
        if self._taken_over is None or time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + _CHECK_EVERY_S
        try:
            error = self._taken_over()
        except AwsError as failed:
            log.warning("it is not known whether another program runs this too: %s", failed)
            return
        if error:
            self._broken = error
            for on_reply in self._waiting.take_all():
                self._followers.hand_over(partial(on_reply, error))

    def _look(self, wanted: set[str]) -> int:
        """Poll once for these replies, and have those fetched that exist.

        A failed poll does not affect a reply. Receivers get an error when all polls have failed for
        a while, or are not allowed.

        Returns:
            The number of replies found.
        """
        begun = time.monotonic()
        try:
            there = self._bucket.sizes(self._prefix, keys.just_before(min(wanted)))
        except BaseException as error:  # noqa: BLE001 - repeated, or passed to receivers
            if self._failing == math.inf:
                log.warning("a poll for replies failed, and is repeated: %s", error)
            self._failing = min(self._failing, begun)
            denied = isinstance(error, AccessDeniedError)
            if time.monotonic() - self._failing > (_LOOKS_DENIED if denied else _LOOKS_FAIL):
                for key in wanted:
                    self._land(key, error)
            return 0
        self._failing = math.inf
        found = there.keys() & wanted
        self._fetching |= found
        for key in found:
            self._fetch(key, there[key])
        return len(found)

    def _fetch(self, key: str, size: int) -> None:
        fetched = partial(self._take_fetched, key, size)
        try:
            if size > self._small.most:
                self._pool.submit(partial(self._fetch_large, key, fetched))
            else:
                self._small.get(key, fetched)
        except (AwsError, RuntimeError) as error:  # closed, or no thread can be started
            self._land(key, error)

    def _fetch_large(self, key: str, fetched: Callable[[bytes | BaseException], None]) -> None:
        try:
            reply: bytes | BaseException = self._bucket.get(key)
        except BaseException as error:  # noqa: BLE001 - the receiver must get any error
            reply = error
        fetched(reply)

    def _take_fetched(self, key: str, size: int, reply: bytes | BaseException) -> None:
        """Process a fetched reply.

        A reply whose size is not the listed one is fetched again: it was cut off.
        """
        if isinstance(reply, bytes) and len(reply) != size:
            times = self._cut_off[key] = self._cut_off.get(key, 0) + 1
            if times < _FETCHES:
                self._fetching.discard(key)
                return
            reply = Unanswered(
                Lost(
                    NOT_STARTED,
                    f"its reply of {size:,} bytes arrived as {len(reply):,} bytes, {times} times",
                    "Something between this machine and S3 changes the data.",
                )
            )
        elif isinstance(reply, FileNotFoundError):
            reply = Unanswered(Lost(NOT_STARTED, "its reply existed, and was removed"))
        self._cut_off.pop(key, None)
        self._land(key, reply)

    def _land(self, key: str, reply: bytes | BaseException) -> None:
        self._followers.hand_over(partial(self._answer, key, reply))

    def _answer(self, key: str, reply: bytes | BaseException) -> None:
        self._fetching.discard(key)
        if self._waiting.times(key) > 1:
            self._copied.add(key)
        on_reply = self._waiting.take(key)
        if on_reply:
            on_reply(reply)
