"""Requests to AWS, thousands at once, in one thread.

**Input:** a `Request`. **Output:** AWS's `Answer`, or the reason why there is none.

libcurl signs, pools connections and moves the bytes: 60 us of CPU for each request, where boto3
takes 1,630. `invoke` and `small_objects` interpret the replies. They can have a request repeated,
with back-off and jitter. Nothing is repeated automatically.

`followers` calls the receiver of a reply in the same thread, and ensures that no receiver blocks
the requests.

A libcurl multi handle checks its idle connections one by one, so there are several, of
`PER_SHARD` connections each.
"""

from __future__ import annotations

import heapq
import logging
import random
import selectors
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pycurl

from dolambda.aws.certificates import UNTRUSTED_S, is_untrusted
from dolambda.aws.curl_handles import PER_SHARD, EasyHandle, MultiHandle
from dolambda.aws.leader_followers import LeaderFollowers
from dolambda.aws.request import Answer
from dolambda.errors import AccessDeniedError, AwsError

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.aws.request import Request

log = logging.getLogger("dolambda")

_JOIN = 5.0  # seconds for a thread that has nothing left to do
_BACK_OFF, _LONGEST_BACK_OFF = 0.05, 5.0
_AT_ONCE = {"s3": 256, "lambda": 20_000}
_NOT_SENT = frozenset(
    {
        pycurl.E_COULDNT_CONNECT,
        pycurl.E_COULDNT_RESOLVE_HOST,
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_COULDNT_RESOLVE_PROXY,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CACERT_BADFILE,
    }
)


class Reactor:
    """Sender of requests with an account's credentials, which are refreshed automatically.

    Thread-safe. It must be closed. One thread sends at any time, but not always the same, see
    `LeaderFollowers`.
    """

    def __init__(self, account: Account) -> None:
        """Prepare the requests. Nothing is sent yet, and no thread runs."""
        self._credentials = account.session.get_credentials()
        self._account = account
        _ = account.ca_bundle  # in the leading thread its error would end all requests
        self._lock = threading.Lock()
        self._new: deque[Request] = deque()
        self._queues: dict[str, deque[Request]] = {service: deque() for service in _AT_ONCE}
        self._busy = dict.fromkeys(_AT_ONCE, 0)
        self._later: list[tuple[float, int, Request]] = []
        self._repeating = dict.fromkeys(_AT_ONCE, 0)
        self._count = 0
        self._lines: dict[Any, EasyHandle] = {}
        self._idle: dict[tuple[str, str], list[EasyHandle]] = {}
        self._shards: list[MultiHandle] = []
        self._thread: threading.Thread | None = None
        self._why = _closed()  # why it accepts no more requests, once it is closed
        self._closing = self._awake = self._released = False
        self.followers = LeaderFollowers(self._wake_up, self._take_lead)

    @property
    def renews(self) -> bool:
        """True if the credentials can be renewed. AWS may then accept a request later."""
        return hasattr(self._credentials, "refresh_needed")

    def send(self, request: Request) -> None:
        """Send a request.

        Raises:
            AwsError: The reactor is closed.
        """
        with self._lock:
            if self._closing:
                raise self._why
            self._new.append(request)
        if not self.followers.leads:  # the leading thread checks the new requests next
            try:
                self._wake_up()
            except RuntimeError:  # no thread can be started: the sender gets this error, once
                if request in self._new:
                    self._new.remove(request)
                raise

    def repeat(self, request: Request, otherwise: AwsError) -> None:
        """Send a request again after a pause, or reply with an error if its time is over.

        Only for the leading thread.
        """
        longest = min(_LONGEST_BACK_OFF, _BACK_OFF * 2 ** min(request.tries, 20))
        pause = random.uniform(0.5, 1) * longest  # noqa: S311 - spreads load, hides nothing
        moment = time.monotonic() + pause
        if moment > request.until:
            self._answer(request, otherwise)
            return
        self._count += 1
        self._repeating[request.service] += 1
        heapq.heappush(self._later, (moment, self._count, request))

    def repeating(self, service: str) -> int:
        """Return the number of requests that wait to be repeated. Only for the leading thread."""
        return self._repeating[service]

    def close(self, seconds: float | None = None) -> None:
        """Stop.

        Requests in flight are given up: AWS may still run them. Wait ``seconds`` at most.
        """
        with self._lock:
            self._closing = True
            begun = self._thread is not None
        if not begun:  # nothing was ever sent, so there is nothing to stop
            self.followers.lead()
            self.followers.finish()
            return
        self._wake_up()
        if (
            self.followers.wait_finished()
            if seconds is None
            else self.followers.wait_finished(seconds)
        ):
            with self._lock:
                thread = self._thread
            if thread and thread is not threading.current_thread():
                thread.join(_JOIN)  # it has nothing left to do

    def _wake_up(self) -> None:
        with self._lock:
            if self._thread is None:
                self._start()
            elif not (self._awake or self._released):
                self._awake = True
                self._wake.send(b"x")

    def _start(self) -> None:
        """Create sockets and threads here, so that a failure is raised to the sender."""
        self._wakes, self._wake = socket.socketpair()  # Windows cannot select on pipes
        self._wakes.settimeout(0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakes, selectors.EVENT_READ, None)
        try:
            self.followers.watch()
            self._lead()
        except RuntimeError:  # no thread can be started: the next request tries again
            self._selector.close()
            self._wakes.close()
            self._wake.close()
            raise

    def _take_lead(self) -> None:
        with self._lock:
            self._lead()

    def _lead(self) -> None:
        thread = threading.Thread(target=self._serve, name="dolambda-requests", daemon=True)
        thread.start()
        self._thread = thread

    # Methods of the leading thread.

    def _serve(self) -> None:
        self.followers.lead()
        try:
            while not self._closing:
                if not self.followers.work():
                    return  # the call took so long that another thread leads
                self._step()
        except BaseException as error:  # a defect: waiting threads must get an error
            log.exception("the connection to AWS broke")
            self._why = AwsError(
                f"the connection to AWS broke: {error!r}",
                hint="Open a new session: dolambda.register().",
            )
        self._end(self._why)

    def _step(self) -> None:
        """Send new requests, wait for an event, and process what arrived."""
        while self._later and self._later[0][0] <= time.monotonic():
            request = heapq.heappop(self._later)[2]
            self._repeating[request.service] -= 1
            self._enqueue(request)
        while self._new:
            self._enqueue(self._new.popleft())
        for service, queue in self._queues.items():
            while queue and self._busy[service] < _AT_ONCE[service]:
                self._begin(queue.popleft())
        now = time.monotonic()
        # New requests are due at once, and may even be done at once.
        for shard in self._shards:
            if shard.timer is not None and shard.timer <= now:
                shard.timer = None
                shard.multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
                self._take_finished(shard)
        touched: set[MultiHandle] = set()
        for key, events in self._selector.select(self._patience()):
            shard = key.data
            if shard is None:
                self._wakes.recv(4096)
                # Later requests wake this thread again; earlier ones are in `_new`.
                self._awake = False
                continue
            flags = (pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0) | (
                pycurl.CSELECT_OUT if events & selectors.EVENT_WRITE else 0
            )
            shard.multi.socket_action(key.fd, flags)
            touched.add(shard)
        for shard in touched:
            self._take_finished(shard)

    def _patience(self) -> float:
        if self.followers.has_calls:
            return 0.0
        moments = [shard.timer for shard in self._shards if shard.timer is not None]
        if self._later:
            moments.append(self._later[0][0])
        return max(0.0, min(moments) - time.monotonic()) if moments else 60.0

    def _enqueue(self, request: Request) -> None:
        self._queues[request.service].append(request)

    def _begin(self, request: Request) -> None:
        if request.dropped:
            self._answer(request, _dropped())
            return
        try:
            # Refreshes automatically if possible.
            frozen = self._credentials.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - boto3 raises many kinds
            hint = "Log in again (`aws sso login`)."
            self._answer(
                request,
                AccessDeniedError(f"the credentials could not be refreshed: {error}", hint=hint),
            )
            return
        kind = (request.service, request.verb)
        idle = self._idle.setdefault(kind, [])
        line = idle.pop() if idle else EasyHandle(*kind, self._account)
        shard = next((shard for shard in self._shards if shard.active < PER_SHARD), None)
        if shard is None:
            shard = MultiHandle(self._selector)
            self._shards.append(shard)
        request.tries += 1
        line.load(request, frozen)
        line.shard = shard
        shard.active += 1
        self._busy[request.service] += 1
        self._lines[line.curl] = line
        shard.multi.add_handle(line.curl)

    def _take_finished(self, shard: MultiHandle) -> None:
        left = 1
        while left:
            left, succeeded, failed = shard.multi.info_read()
            for curl in succeeded:
                self._finish(shard, curl, 0, "")
            for curl, number, text in failed:
                self._finish(shard, curl, number, text)

    def _finish(self, shard: MultiHandle, curl: Any, error: int, text: str) -> None:
        line = self._lines.pop(curl)
        shard.multi.remove_handle(curl)
        shard.active -= 1
        request, status, body, head = line.unload()
        self._busy[request.service] -= 1
        self._idle[line.kind].append(line)
        if error and is_untrusted(text):
            request.until = min(request.until, time.monotonic() + UNTRUSTED_S)
        self._answer(
            request,
            Answer(0, error=text, sent=error not in _NOT_SENT)
            if error
            else Answer(status, body, head),
        )

    def _answer(self, request: Request, answer: Answer | AwsError) -> None:
        try:
            request.answered(request, answer)
        except Exception:  # a defect of the receiver: other requests continue
            log.exception("a reply could not be delivered")

    def _end(self, why: AwsError) -> None:
        if not self._released:
            self._release(why)
        self.followers.finish()

    def _release(self, why: AwsError) -> None:
        with self._lock:
            self._closing = True
            left = [*self._new, *(request for queue in self._queues.values() for request in queue)]
            left += [request for _, _, request in self._later]
            self._new.clear()
        lines = list(self._lines.values())
        left += [line.request for line in lines if line.request]
        for request in left:
            self._answer(request, why)
        for line in lines:
            if line.shard:
                line.shard.multi.remove_handle(line.curl)
        for line in [*lines, *(line for idle in self._idle.values() for line in idle)]:
            line.curl.close()
        for shard in self._shards:
            shard.multi.close()
        self._selector.close()
        with self._lock:
            self._released = True
            self._wakes.close()
            self._wake.close()


def _closed() -> AwsError:
    return AwsError(
        "the connection to AWS was closed", hint="Open a new session: dolambda.register()."
    )


def _dropped() -> AwsError:
    return AwsError("the request was dropped before it was sent", hint="It was cancelled.")
