"""Small objects on S3, without waiting for them.

On entry: keys and bytes; on leaving: calls of the waiting code, by the thread that leads.

For jobs and replies, of which there are thousands under way; what is large, or rare, goes through
`objects`. S3's own errors and broken connections are repeated for up to three minutes: writing the
same bytes once more, and reading, do no harm.
"""

from __future__ import annotations

import http
import re
import time
from typing import TYPE_CHECKING, Any

from dolambda.aws.objects import denied, failed
from dolambda.aws.partitions import host
from dolambda.aws.request import Answer, Request
from dolambda.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.aws.reactor import Reactor
    from dolambda.aws.request_counter import RequestCounter

_PATIENCE = 180.0
_PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})
_PASSING_CODES = (b"<Code>RequestTimeout<", b"<Code>SlowDown<", b"<Code>InternalError<")
"""Errors that pass whatever their status is: RequestTimeout comes with 400."""

_EXPIRED = (b"<Code>ExpiredToken<", b"<Code>TokenRefreshRequired<")


class SmallObjects:
    """One bucket's. For any thread; each request is counted."""

    most = 256 * 1024
    """Bytes of an object that is small: signing a larger one would hold the others up."""

    def __init__(
        self,
        reactor: Reactor,
        account: Account,
        name: str,
        calls: RequestCounter,
        owner: str = "",
    ) -> None:
        """Nothing is sent yet.

        S3 refuses requests if the bucket is not the ``owner``'s, an account.
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
        """Write an object, over one that may be there; ``done`` gets None, or the error.

        Gives what can be dropped before it is sent.
        """
        return self._send(
            "PUT", key, ("Content-Type: application/octet-stream", "Expect:"), data, done
        )

    def get(self, key: str, done: Callable[[bytes | BaseException], None]) -> Request:
        """Read an object; ``done`` gets it, or the error: FileNotFoundError, or `AwsError`."""
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
        seconds = _PATIENCE - (request.until - time.monotonic()) if request.tries > 1 else 0.0
        return failed(what, f"{answer.status or 'no answer'} {said}".strip(), seconds)


def _is_s3s(answer: Answer) -> bool:
    """Whether an answer can be S3's own, and not a captive portal's or a proxy's.

    S3 gives each object that it writes or reads a tag, and each refusal a code.
    """
    if answer.status == http.HTTPStatus.OK:
        return bool(answer.header("etag"))
    return not answer.status or b"<Code>" in answer.body


_ACTIONS = {"PUT": "s3:PutObject", "GET": "s3:GetObject"}
