"""Calls of a Lambda function. On entry: payloads; on leaving: what the function answered, or why there is no answer.

libcurl signs, pools connections and waits for thousands of them in one thread (72 us of CPU a request where boto3 takes 1,630). A request
that AWS has not begun to run (throttled, or the connection could not be made) is repeated here, with back-off and jitter; one that it may
have run is not: whoever sent it decides, and counts it.
"""

from __future__ import annotations

import contextlib
import heapq
import http
import json
import logging
import os
import random
import selectors
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import certifi
import pycurl

from dolambda.errors import AccessDeniedError, AwsError, NotDeployedError, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.aws.calls import Calls

log = logging.getLogger("dolambda")

PAYLOAD = 6 * 1024 * 1024
"""Bytes of a request or an answer that Lambda takes (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""

_LONGEST = 905.0  # seconds: Lambda's limit of a function, and a little
_CONNECT = 10.0
_BACK_OFF, _LONGEST_BACK_OFF = 0.05, 20.0
_PATIENCE = 600.0  # seconds that a request is repeated before it is given up as throttled
_NOT_BEGUN = frozenset(
    {pycurl.E_COULDNT_CONNECT, pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_SSL_CONNECT_ERROR, pycurl.E_COULDNT_RESOLVE_PROXY}
)
_EVENTS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


class UnknownOutcomeError(AwsError):
    """The connection ended after the request was sent: it may have run, or not."""

    may_have_run = True


class FunctionEndedError(AwsError):
    """The function's environment ended under the request; ``kind`` is Lambda's name for how."""

    def __init__(self, kind: str, said: str) -> None:
        """``said`` is Lambda's own sentence."""
        super().__init__(f"Lambda ended the invocation: {kind}: {said}", mend="`dolambda logs --all` has what Lambda wrote of it.")
        self.kind = kind


@dataclass(slots=True)
class Request:
    """A payload on its way. ``done`` is called, in this module's thread, with the answer or an exception."""

    payload: bytes = field(repr=False)
    done: Callable[[bytes | BaseException], None]
    given_up: float
    tries: int = 0
    body: list[bytes] = field(default_factory=list, repr=False)
    headers: dict[str, str] = field(default_factory=dict)


class Invoker:
    """Calls one function, any number of times at once, from any thread. `throttled` is told Lambda's reason, each time it does."""

    def __init__(self, account: Account, function: str, calls: Calls) -> None:
        """Nothing is sent yet, and no thread runs."""
        self.throttled: Callable[[str], None] = lambda _: None
        self._credentials = account.session.get_credentials()
        self._region = account.region
        self._url = (
            f"{account.endpoint_url or f'https://lambda.{account.region}.amazonaws.com'}/2015-03-31/functions/{function}/invocations"
        )
        self._calls = calls
        self._lock = threading.Lock()
        self._new: deque[Request] = deque()
        self._later: list[tuple[float, int, Request]] = []
        self._under_way: dict[Any, Request] = {}
        self._idle: list[Any] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._count = 0
        self._timer: float | None = None
        self._wake: int | None = None

    def send(self, payload: bytes, done: Callable[[bytes | BaseException], None]) -> None:
        """Call the function; ``done`` gets its answer, or `AwsError`."""
        request = Request(payload, done, time.monotonic() + _PATIENCE)
        with self._lock:
            if self._closing:
                msg = "cannot send after close"
                raise RuntimeError(msg)
            self._new.append(request)
            if self._thread is None:
                self._wakes, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
                self._thread = threading.Thread(target=self._serve, name="dolambda-invoke", daemon=True)
                self._thread.start()
        self._nudge()

    def close(self) -> None:
        """Stop. What is under way is given up: it may still run there."""
        with self._lock:
            self._closing = True
            thread, self._thread = self._thread, None
        self._nudge()
        if thread:
            thread.join()

    def _nudge(self) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):  # it has been woken often enough
            if self._wake is not None:
                os.write(self._wake, b"x")

    # In the thread.

    def _serve(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakes, selectors.EVENT_READ)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, 20_000)
        why: BaseException = AwsError("the connection to Lambda was closed", mend="Open a new session: dolambda.register().")
        try:
            while not self._closing:
                self._step()
        except BaseException as error:
            log.exception("the connection to Lambda broke")
            why = error
        self._end(why)

    def _step(self) -> None:
        for key, events in self._selector.select(self._patience()):
            if key.fd == self._wakes:
                os.read(self._wakes, 4096)
                continue
            flags = (pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0) | (
                pycurl.CSELECT_OUT if events & selectors.EVENT_WRITE else 0
            )
            self._multi.socket_action(key.fd, flags)
        if self._timer is not None and self._timer <= time.monotonic():
            self._timer = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._take_finished()
        while self._later and self._later[0][0] <= time.monotonic():
            self._begin(heapq.heappop(self._later)[2])
        while self._new:
            self._begin(self._new.popleft())

    def _patience(self) -> float:
        moments = [moment for moment in (self._timer, self._later[0][0] if self._later else None) if moment is not None]
        return max(0.0, min(moments) - time.monotonic()) if moments else 60.0

    def _watch(self, event: int, fd: int, _multi: object, _data: object) -> None:
        known = fd in self._selector.get_map()
        if event == pycurl.POLL_REMOVE:
            if known:
                self._selector.unregister(fd)
        elif known:
            self._selector.modify(fd, _EVENTS[event])
        else:
            self._selector.register(fd, _EVENTS[event])

    def _set_timer(self, milliseconds: int) -> None:
        self._timer = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def _begin(self, request: Request) -> None:
        try:
            frozen = self._credentials.get_frozen_credentials()  # refreshes by itself, if it can
        except Exception as error:  # noqa: BLE001 - boto3's, of many kinds
            refused = AccessDeniedError(f"the credentials could not be refreshed: {error}", mend="Log in again (`aws sso login`).")
            self._answer(request, refused)
            return
        curl = self._idle.pop() if self._idle else self._handle()
        request.tries += 1
        request.body.clear()
        request.headers.clear()
        headers = ["Content-Type: application/json", "Expect:", "X-Amz-Invocation-Type: RequestResponse"]
        if frozen.token:
            headers.append(f"X-Amz-Security-Token: {frozen.token}")
        curl.setopt(pycurl.USERPWD, f"{frozen.access_key}:{frozen.secret_key}")
        curl.setopt(pycurl.HTTPHEADER, headers)
        curl.setopt(pycurl.POSTFIELDS, request.payload)
        curl.setopt(pycurl.WRITEFUNCTION, request.body.append)
        curl.setopt(pycurl.HEADERFUNCTION, lambda line: _note(line, request.headers))
        self._calls.add("lambda:InvokeFunction", sent=len(request.payload))
        self._under_way[curl] = request
        self._multi.add_handle(curl)

    def _handle(self) -> Any:  # noqa: ANN401 - pycurl has no types
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, self._url)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.CAINFO, certifi.where())
        curl.setopt(pycurl.AWS_SIGV4, f"aws:amz:{self._region}:lambda")
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(_CONNECT * 1000))
        curl.setopt(pycurl.TIMEOUT_MS, int(_LONGEST * 1000))
        return curl

    def _take_finished(self) -> None:
        while True:
            left, succeeded, failed = self._multi.info_read()
            for curl in succeeded:
                self._finish(curl, 0, "")
            for curl, number, text in failed:
                self._finish(curl, number, text)
            if not left:
                return

    def _finish(self, curl: Any, error: int, text: str) -> None:  # noqa: ANN401 - as above
        request = self._under_way.pop(curl)
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        self._multi.remove_handle(curl)
        body = b"".join(request.body)
        request.body.clear()
        curl.setopt(pycurl.POSTFIELDS, b"")  # an idle handle holds nothing of the last request
        self._idle.append(curl)
        if error:
            if error in _NOT_BEGUN:
                self._repeat(request, AwsError(f"Lambda cannot be reached: {text}", mend="Is the network up, and is region= right?"))
            else:
                self._answer(request, UnknownOutcomeError(f"the connection to Lambda ended: {text}", mend="The job is sent again."))
        elif status in (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE):
            reason = _reason(body) or f"status {status}"
            self.throttled(reason)
            self._repeat(request, ThrottledError(f"Lambda refused to run the function: {reason}", mend=_MEND_THROTTLED))
        elif status != http.HTTPStatus.OK:
            self._answer(request, _refused(status, request.headers.get("x-amzn-errortype", ""), body))
        elif "x-amz-function-error" in request.headers:
            self._answer(request, _ended(body))
        else:
            self._calls.add("lambda:InvokeFunction", 0, received=len(body))
            self._answer(request, body)

    def _repeat(self, request: Request, otherwise: AwsError) -> None:
        """Send again what has not begun to run, a little later; give it up in the end."""
        pause = random.uniform(0.5, 1) * min(_LONGEST_BACK_OFF, _BACK_OFF * 2**request.tries)  # noqa: S311 - spreads load, hides nothing
        if time.monotonic() + pause > request.given_up:
            self._answer(request, otherwise)
            return
        self._count += 1
        heapq.heappush(self._later, (time.monotonic() + pause, self._count, request))

    def _answer(self, request: Request, answer: bytes | BaseException) -> None:
        try:
            request.done(answer)
        except Exception:
            log.exception("an answer could not be handed over")

    def _end(self, why: BaseException) -> None:
        with self._lock:
            self._closing = True
            wake, self._wake = self._wake, None
            left = [*self._new, *(request for _, _, request in self._later), *self._under_way.values()]
            self._new.clear()
        for request in left:
            self._answer(request, why)
        for curl in self._under_way:
            self._multi.remove_handle(curl)
            curl.close()
        for curl in self._idle:
            curl.close()
        self._multi.close()
        self._selector.close()
        os.close(self._wakes)
        if wake is not None:
            os.close(wake)


_MEND_THROTTLED = "It was repeated for ten minutes. `dolambda status` shows the limits; ask AWS for more concurrency, or use fewer workers."


def _note(line: bytes, headers: dict[str, str]) -> None:
    name, found, value = line.partition(b":")
    if found:
        headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body).get("Reason", ""))
    except (ValueError, AttributeError):
        return ""


def _ended(body: bytes) -> FunctionEndedError:
    try:
        said = json.loads(body)
        return FunctionEndedError(str(said["errorType"]), str(said["errorMessage"]))
    except (ValueError, TypeError, KeyError):
        return FunctionEndedError("Unhandled", body[:300].decode(errors="replace"))


def _refused(status: int, kind: str, body: bytes) -> AwsError | NotDeployedError:
    text = body[:300].decode(errors="replace")
    if status == http.HTTPStatus.FORBIDDEN or "AccessDenied" in kind:
        return AccessDeniedError(
            f"lambda:InvokeFunction was denied: {text}",
            mend="`dolambda policy submitter` prints what is needed; or have the credentials expired?",
        )
    if status == http.HTTPStatus.NOT_FOUND:
        return NotDeployedError(f"there is no such function: {text}", mend="Run `dolambda deploy`.")
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnknownOutcomeError(f"Lambda answered {status} {kind}: {text}", mend="The job is sent again.")
    return AwsError(f"Lambda answered {status} {kind}: {text}", mend="If it stays so, `dolambda doctor` looks for the cause.")
