"""libcurl's handles, as the reactor uses them.

**Input:** a `Request`. **Output:** the parts of its reply, once libcurl reports its end.
"""

from __future__ import annotations

import hashlib
import io
import selectors
import time
from typing import TYPE_CHECKING, Any

import certifi
import pycurl

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.aws.request import Request

PER_SHARD = 300
"""Connections of one multi handle, which checks its idle ones one by one."""

_LONGEST = {"s3": 120.0, "lambda": 905.0}  # seconds of one attempt; a function runs 900 at most
_CONNECT = 10.0
_UPLOAD_BUFFER = 16 << 10
"""Bytes, libcurl's least and as many as a TLS record has. A thousand connections with its usual
64 KB take 30 MB more."""

_SHUFFLE_ADDRESSES = 275  # CURLOPT_DNS_SHUFFLE_ADDRESSES, for which pycurl has no name
_ADDRESSES_S = 5
"""Seconds for which addresses are remembered, as S3 asks. All new connections of that time go to
the same one of S3's eight."""

_EVENTS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


class MultiHandle:
    """Some connections: a libcurl multi handle, and the time at which it wants to be called."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        """Create a handle without connections."""
        self.active = 0
        self.timer: float | None = None
        self._selector = selector
        self._watched: set[int] = set()
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self.multi.setopt(pycurl.M_MAXCONNECTS, PER_SHARD)

    def _watch(self, event: int, fd: int, _multi: object, _data: object) -> None:
        if event == pycurl.POLL_REMOVE:
            if fd in self._watched:
                self._watched.remove(fd)
                self._selector.unregister(fd)
        elif fd in self._watched:
            self._selector.modify(fd, _EVENTS[event], self)
        else:
            self._watched.add(fd)
            self._selector.register(fd, _EVENTS[event], self)

    def _set_timer(self, milliseconds: int) -> None:
        self.timer = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


class EasyHandle:
    """A libcurl easy handle, used for one request of its kind after the other.

    An idle handle keeps nothing of the last request.
    """

    def __init__(self, service: str, verb: str, account: Account) -> None:
        """Set the options that all its requests share."""
        self.kind = (service, verb)
        self.body: list[bytes] = []
        self.head: list[bytes] = []
        self.shard: MultiHandle | None = None
        self.request: Request | None = None
        self._set: dict[int, Any] = {}
        self.curl = curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.UPLOAD_BUFFERSIZE, _UPLOAD_BUFFER)
        curl.setopt(pycurl.DNS_CACHE_TIMEOUT, _ADDRESSES_S)
        curl.setopt(_SHUFFLE_ADDRESSES, 1)
        curl.setopt(pycurl.CAINFO, account.ca_bundle or certifi.where())
        curl.setopt(pycurl.AWS_SIGV4, f"aws:amz:{account.region}:{service}")
        if account.is_here:
            curl.setopt(pycurl.PROXY, "")  # not that of the environment
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(_CONNECT * 1000))
        curl.setopt(pycurl.TIMEOUT_MS, int(_LONGEST[service] * 1000))
        curl.setopt(pycurl.WRITEFUNCTION, self.body.append)
        curl.setopt(pycurl.HEADERFUNCTION, self.head.append)
        if verb != "GET":
            curl.setopt(pycurl.POST, 1)
            curl.setopt(pycurl.CUSTOMREQUEST, verb)

    def load(self, request: Request, credentials: Any) -> None:
        """Set the options of a request."""
        self.request = request
        headers = request.headers
        if request.once:  # libcurl signs the digest, as it does not know what it will read
            digest = hashlib.sha256(request.payload).hexdigest()
            headers = (*headers, f"X-Amz-Content-Sha256: {digest}")
        if credentials.token:
            headers = (*headers, f"X-Amz-Security-Token: {credentials.token}")
        self._change(pycurl.URL, request.url)
        self._change(pycurl.HTTPHEADER, headers)
        self._change(pycurl.USERPWD, f"{credentials.access_key}:{credentials.secret_key}")
        if request.once:
            self.curl.setopt(pycurl.READFUNCTION, io.BytesIO(request.payload).read)
            self.curl.setopt(pycurl.POSTFIELDSIZE, len(request.payload))
        elif request.verb != "GET":
            self.curl.setopt(pycurl.POSTFIELDS, request.payload)

    def unload(self) -> tuple[Request, int, bytes, bytes]:
        """Remove and return the request, with status, body and headers of its reply."""
        request, self.request = self.request, None
        if request is None:
            raise AssertionError("an idle handle has no request")
        taken = (
            request,
            self.curl.getinfo(pycurl.RESPONSE_CODE),
            b"".join(self.body),
            b"".join(self.head),
        )
        self.body.clear()
        self.head.clear()
        if request.once:
            self.curl.setopt(pycurl.READFUNCTION, io.BytesIO().read)
        elif request.verb != "GET":
            self.curl.setopt(pycurl.POSTFIELDS, b"")
        return taken

    def _change(self, option: int, value: Any) -> None:
        if self._set.get(option) != value:
            self.curl.setopt(option, value)
            self._set[option] = value
