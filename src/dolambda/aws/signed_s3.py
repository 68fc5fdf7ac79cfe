"""The worker's S3: a GET and a PUT for each job over one kept connection, signed here.

**Input:** keys and bytes. **Output:** bytes.

The Lambda runtime contains boto3, but importing it takes 0.5 s of billed cold start, and each
request 1.8 ms of CPU on what may be a tenth of a core. This module takes 15 ms and 0.1 ms, and
needs only the standard library. It signs with Signature Version 4 as AWS documents it. The tests
compare it with botocore's.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from dolambda.aws.checksums import checksum
from dolambda.aws.denials import denial_hint
from dolambda.aws.partitions import host
from dolambda.aws.proxies import authorization, proxy_of
from dolambda.aws.request_counter import is_throttled
from dolambda.errors import AccessDeniedError, AwsError

if TYPE_CHECKING:
    import http.client
    import ssl
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from dolambda.aws.request_counter import RequestCounter

_TIMEOUT_S = 60.0
_PATIENCE_S = 60.0  # of requests if the end of the invocation is unknown
_DENIED_S = 60.0  # IAM may take this long until the policy of a new role applies everywhere
_LONGEST_PAUSE_S = 5.0
_IDLE_S = 5.0
"""Seconds after which a kept connection is not trusted: S3 closes idle ones, and where a network
drops them silently, while Lambda has frozen this process, a request would wait for its time-out."""

_MARGIN_S = 1.0  # before the end of the invocation
_PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})  # 409: another conditional write
_PASSING_CODES = (b"<Code>RequestTimeout<", b"<Code>SlowDown<", b"<Code>InternalError<")
_OK, _DENIED, _MISSING, _EXISTS = 200, 403, 404, 412
_NO_KEY, _NO_BUCKET = b"s3:ListBucket", b"<Code>NoSuchBucket<"


class SignedS3:
    """One bucket, with the credentials in the environment, which Lambda sets and renews."""

    def __init__(
        self,
        bucket: str,
        environ: Mapping[str, str],
        calls: RequestCounter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare requests. Nothing is sent.

        ``environ`` contains region, credentials and, outside AWS, the endpoint. ``clock`` must go
        on while Lambda has frozen this process.
        """
        self._region = environ["AWS_REGION"]
        named = ("DOLAMBDA_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        endpoint = next((environ[name] for name in named if environ.get(name)), None)
        # A dot in the name would not match S3's certificate for *.s3...
        in_path = bool(endpoint) or "." in bucket
        base = urlsplit(
            endpoint or f"https://{'' if in_path else f'{bucket}.'}{host('s3', self._region)}"
        )
        self._host = base.netloc
        self._root = f"/{bucket}/" if in_path else "/"
        self._plain = base.scheme == "http"
        self._bundle = environ.get("AWS_CA_BUNDLE") or None  # as boto3 in tasks
        self._environ = environ
        self._calls = calls
        self._clock = clock
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0
        self._until: float | None = None
        self.owner = ""
        """Number of the account that must own the bucket, or "" for any account."""

    def begin_invocation(self, seconds: float) -> None:
        """Set the time: failed requests are repeated until a second before the invocation's end.

        ``seconds`` are left until then.
        """
        self._until = time.monotonic() + seconds - _MARGIN_S

    @classmethod
    def from_environ(cls, bucket: str, calls: RequestCounter) -> SignedS3:
        """Return the bucket for this process's environment."""
        return cls(bucket, os.environ, calls)

    def close(self) -> None:
        """Close the connection. The next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, key: str) -> bytes | None:
        """Read an object.

        Returns:
            The content, or None if there is no such object.

        Raises:
            AwsError: S3 denied the request or failed.
        """
        self._calls.add("s3:GetObject")
        status, body = self._request("GET", key)
        if _is_missing(status, body):
            return None
        return self._checked(status, body, "GET", key)

    def get_at_once(self, key: str, seconds: float = 1.0) -> bytes | None:
        """Read a small object, with one attempt. Return None if it is missing or late."""
        import http.client  # noqa: PLC0415 - see _request

        self._calls.add("s3:GetObject")
        path = self._root + quote(key, safe="/-_.~")
        try:
            status, body = self._send("GET", path, b"", self._signed("GET", path, b"", {}), seconds)
        except (OSError, http.client.HTTPException):
            self.close()
            return None
        return body if status == _OK else None

    def put_at_once(self, key: str, data: bytes, seconds: float = 1.0) -> bool:
        """Write a small object, with one try; return whether it is known to be written."""
        import http.client  # noqa: PLC0415 - as in _request

        self._calls.add("s3:PutObject")
        path = self._root + quote(key, safe="/-_.~")
        try:
            headers = self._signed("PUT", path, data, checksum(data))
            status, _ = self._send("PUT", path, data, headers, seconds)
        except (OSError, http.client.HTTPException):
            self.close()
            return False
        return status == _OK

    def get_to_file(self, key: str, path: Path) -> None:
        """Read an object of any size into a file."""
        self._calls.add("s3:GetObject")
        status, body = self._request("GET", key, into=path)
        self._checked(status, body, "GET", key)

    def put_new(self, key: str, data: bytes) -> bool:
        """Write an object unless it exists. Return whether it was written."""
        self._calls.add("s3:PutObject")
        extra = {"if-none-match": "*", **checksum(data)}
        status, body = self._request("PUT", key, data, extra)
        if status == _EXISTS:
            return False
        self._checked(status, body, "PUT", key)
        return True

    def _checked(self, status: int, body: bytes, verb: str, key: str) -> bytes:
        if status == _OK:
            return body
        text = f"{verb} {key} returned {status}: {body[:500].decode(errors='replace')}"
        if status == _DENIED:
            raise AccessDeniedError(
                text,
                hint=denial_hint(
                    body.decode(errors="replace"),
                    "Check that the worker's role has its policy: `dolambda deploy` restores it. "
                    "If the "
                    "bucket uses a KMS key, the role needs kms:Decrypt and kms:GenerateDataKey. A "
                    "bucket "
                    "policy or an organization's policy may deny the request too.",
                ),
            )
        raise AwsError(text, hint="`dolambda deploy` repairs an incomplete stack.")

    def _request(
        self,
        verb: str,
        key: str,
        data: bytes = b"",
        extra: Mapping[str, str] | None = None,
        into: Path | None = None,
    ) -> tuple[int, bytes]:
        """Send a request, and repeat temporary failures as long as there is time.

        ``into`` is a file for the body.
        """
        import http.client  # noqa: PLC0415 - 15 ms, which a worker called directly does not need

        path = self._root + quote(key, safe="/-_.~")
        begun, pause = time.monotonic(), 0.05
        until = begun + _PATIENCE_S if self._until is None else self._until
        while True:
            failure: Exception | None = None
            try:
                headers = self._signed(verb, path, data, extra or {})
                longest = min(_TIMEOUT_S, max(_MARGIN_S, until - time.monotonic()))
                answer = self._send(verb, path, data, headers, longest, into)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                failure = error
            else:
                if is_throttled(*answer):
                    self._calls.throttled("s3:PutObject" if verb == "PUT" else "s3:GetObject")
                until = min(until, begun + _DENIED_S) if _is_denied(*answer) else until
                if not _may_pass(*answer):
                    return answer
            if time.monotonic() + pause > until:
                break
            import random  # noqa: PLC0415 - rarely needed, and 2 ms

            time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter is no secret
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        if failure:
            raise failure
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        import http.client  # noqa: PLC0415 - see _request

        if self._plain:
            return http.client.HTTPConnection(self._host, timeout=_TIMEOUT_S)
        proxy, context = proxy_of(self._environ, self._host), _tls(self._bundle)
        if proxy is None:
            return http.client.HTTPSConnection(self._host, timeout=_TIMEOUT_S, context=context)
        connection = http.client.HTTPSConnection(
            proxy.hostname or "", proxy.port or 80, timeout=_TIMEOUT_S, context=context
        )
        connection.set_tunnel(self._host, headers=authorization(proxy))
        return connection

    def _send(
        self,
        verb: str,
        path: str,
        data: bytes,
        headers: Mapping[str, str],
        seconds: float = _TIMEOUT_S,
        into: Path | None = None,
    ) -> tuple[int, bytes]:
        if self._clock() - self._used > _IDLE_S:
            self.close()
        if self._connection is None:
            self._connection = self._connect()
        self._connection.timeout = seconds
        if self._connection.sock:
            self._connection.sock.settimeout(seconds)
        self._connection.request(verb, path, body=data or None, headers=dict(headers))
        response = self._connection.getresponse()
        large = into if response.status == _OK else None
        body = _read_into(large, response) if large else response.read()
        self._used = self._clock()
        return response.status, body

    def _signed(
        self, verb: str, path: str, data: bytes, extra: Mapping[str, str]
    ) -> dict[str, str]:
        if self.owner:
            extra = {**extra, "x-amz-expected-bucket-owner": self.owner}
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return sign(verb, self._host, path, data, extra, stamp, self._region, self._environ)


@cache
def _tls(bundle: str | None) -> ssl.SSLContext:
    """Return the context of all connections: it takes 16 ms of CPU to read the certificates."""
    import ssl  # noqa: PLC0415 - see _request

    context = ssl.create_default_context(cafile=bundle)
    # Python 3.13 refuses authorities without a key usage, which boto3 and libcurl accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _read_into(path: Path, response: http.client.HTTPResponse) -> bytes:
    """Write a body to a file. Raises OSError for an incomplete body."""
    import shutil  # noqa: PLC0415 - few stacks have a bundle

    length = response.length
    with path.open("wb") as file:
        shutil.copyfileobj(response, file, 1 << 20)
        if length is not None and file.tell() != length:
            raise ConnectionError(f"{file.tell():,} of {length:,} bytes were received")
    return b""


def _is_missing(status: int, body: bytes) -> bool:
    """Return whether a reply means that there is no such object.

    To a role that may not list the bucket, S3 reports it by denying s3:ListBucket.
    """
    if status == _MISSING:
        return _NO_BUCKET not in body
    return status == _DENIED and _NO_KEY in body


def _is_denied(status: int, body: bytes) -> bool:
    return status == _DENIED and not _is_missing(status, body)


def _may_pass(status: int, body: bytes) -> bool:
    """Return whether to repeat a request. Denials are repeated too: policies take time to apply."""
    return (
        status in _PASSING
        or _is_denied(status, body)
        or (status != _OK and any(code in body for code in _PASSING_CODES))
    )


def sign(
    verb: str,
    host: str,
    path: str,
    data: bytes,
    extra: Mapping[str, str],
    stamp: str,
    region: str,
    environ: Mapping[str, str],
) -> dict[str, str]:
    """Return the headers of a signed request to S3.

    See AWS Signature Version 4, "Authenticating Requests: Authorization Header".
    """
    digest = hashlib.sha256(data).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp, **extra}
    if token := environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"{verb}\n{path}\n\n{listed}\n{names}\n{digest}"
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + environ["AWS_SECRET_ACCESS_KEY"].encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = f"{environ['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return headers
