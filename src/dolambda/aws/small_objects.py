"""Small objects on S3, without waiting for them.

**Input:** keys and bytes. **Output:** calls of the waiting code, in the leading thread.

They are jobs and replies, of which thousands are in flight. Large or rare objects go through
`objects`. Errors of S3 and broken connections are repeated for up to three minutes: writing the
same bytes again, and reading, do no harm.
"""

from __future__ import annotations

import http
import re
import time
from typing import TYPE_CHECKING, Any

from dolambda.aws.checksums import checksum
from dolambda.aws.objects import denied, failed
from dolambda.aws.partitions import host
from dolambda.aws.request import Answer, Request
from dolambda.aws.request_counter import is_throttled
from dolambda.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.aws.reactor import Reactor
    from dolambda.aws.request_counter import RequestCounter

_PATIENCE = 180.0
_PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})
_PASSING_CODES = (b"<Code>RequestTimeout<", b"<Code>SlowDown<", b"<Code>InternalError<")
"""Temporary errors, whatever their status: RequestTimeout has status 400."""

_EXPIRED = (b"<Code>ExpiredToken<", b"<Code>TokenRefreshRequired<")


class SmallObjects:
    """The small objects of one bucket. Thread-safe. Each request is counted."""

    most = 256 * 1024
    """Largest size of a small object, in bytes. Signing a larger one would delay the others."""

    def __init__(
        self,
        reactor: Reactor,
        account: Account,
        name: str,
        calls: RequestCounter,
        owner: str = "",
    ) -> None:
        """Prepare requests. Nothing is sent yet.

        S3 refuses requests if the bucket does not belong to the account ``owner``.
        """
        self._owner = (f"X-Amz-Expected-Bucket-Owner: {owner}",) if owner else ()
        self._reactor = reactor
        self._name = name
        self._calls = calls
        place = host("s3", account.region)
        endpoint = account.endpoint("s3")
        if endpoint or "." in name:  # a dot would not match S3's certificate for *.s3...
            self._root = f"{endpoint or f'https://{place}'}/{name}/"
        else:
            self._root = f"https://{name}.{place}/"

    def put(self, key: str, data: bytes, done: Callable[[BaseException | None], None]) -> Request:
        """Write an object, replacing an existing one.

        ``done`` gets None, or the error. The returned request can be dropped before it is sent.
        """
        sums = (f"{name}: {value}" for name, value in checksum(data).items())
        headers = ("Content-Type: application/octet-stream", "Expect:", *sums)
        return self._send("PUT", key, headers, data, done)

    def get(self, key: str, done: Callable[[bytes | BaseException], None]) -> Request:
        """Read an object. ``done`` gets it, or the error: FileNotFoundError or `AwsError`."""
        return self._send("GET", key, (), b"", done)

    def _send(
        self,
        verb: str,
        key: str,
        headers: tuple[str, ...],
        data: bytes,
        done: Callable[[Any], None],
    ) -> Request:
        request = Request(
            "s3",
            verb,
            self._root + key,
            (*headers, *self._owner),
            data,
            self._answered,
            done,
            time.monotonic() + _PATIENCE,
        )
        self._reactor.send(request)
        return request

    def _answered(self, request: Request, answer: Answer | AwsError) -> None:
        if isinstance(answer, AwsError):
            request.done(answer)
            return
        self._calls.add(
            _ACTIONS[request.verb], sent=len(request.payload), received=len(answer.body)
        )
        if is_throttled(answer.status, answer.body):
            self._calls.throttled(_ACTIONS[request.verb])
        foreign = not _is_s3s(answer)
        if answer.status == http.HTTPStatus.OK and not foreign:
            request.done(None if request.verb == "PUT" else answer.body)
        elif (
            not answer.status
            or foreign
            or answer.status in _PASSING
            or any(code in answer.body for code in _PASSING_CODES)
            or (self._reactor.renews and any(sign in answer.body for sign in _EXPIRED))
        ):
            self._reactor.repeat(request, self._error(request, answer))
        elif answer.status == http.HTTPStatus.NOT_FOUND and b"NoSuchKey" in answer.body:
            request.done(FileNotFoundError(request.url.removeprefix(self._root)))
        else:
            request.done(self._error(request, answer))

    def _error(self, request: Request, answer: Answer) -> AwsError:
        what = (
            f"{_ACTIONS[request.verb]} on s3://{self._name}/{request.url.removeprefix(self._root)}"
        )
        code = re.search(rb"<Code>(\w+)</Code>", answer.body)
        said = code[1].decode() if code else answer.error or "that is not S3's own"
        if answer.status == http.HTTPStatus.FORBIDDEN or any(
            sign in answer.body for sign in _EXPIRED
        ):
            return denied(what, said, answer.body.decode(errors="replace"))
        seconds = time.monotonic() - request.begun if request.tries > 1 else 0.0
        return failed(what, f"{answer.status or 'no answer'} {said}".strip(), seconds)


def _is_s3s(answer: Answer) -> bool:
    """Return whether a reply can be S3's own, and not that of a captive portal or a proxy.

    S3 returns a tag for each object that it writes or reads, and a code for each refusal.
    """
    if answer.status == http.HTTPStatus.OK:
        return bool(answer.header("etag"))
    return not answer.status or b"<Code>" in answer.body


_ACTIONS = {"PUT": "s3:PutObject", "GET": "s3:GetObject"}
