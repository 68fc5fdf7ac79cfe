"""The worker's S3: a GET and a PUT a job over one kept connection, signed here.

On entry: keys and bytes; on leaving: bytes. The Lambda runtime brings boto3, but importing it takes 0.5 s of billed cold
start and each request 1.8 ms of CPU on what may be a tenth of a core; this takes 15 ms and 0.1 ms, and needs nothing that
is not in the standard library. Signature Version 4 as AWS documents it; the tests compare it with botocore's.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from dolambda.errors import AwsError

if TYPE_CHECKING:
    import http.client
    from collections.abc import Mapping
    from pathlib import Path

    from dolambda.aws.request_counter import RequestCounter

_TRIES = 6
_TIMEOUT_S = 60.0
_PASSING = frozenset({409, 429, 500, 502, 503, 504})  # 409: another conditional write is under way
_OK, _DENIED, _MISSING, _EXISTS = 200, 403, 404, 412


class SignedS3:
    """One bucket, by the credentials in the environment, which Lambda puts there and renews."""

    def __init__(self, bucket: str, environ: Mapping[str, str], calls: RequestCounter) -> None:
        """``environ`` holds region, credentials and, off AWS, the endpoint. Nothing is sent."""
        self._region = environ["AWS_REGION"]
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
        in_path = (
            bool(endpoint) or "." in bucket
        )  # a dot in the name would not match S3's certificate for *.s3...
        base = urlsplit(
            endpoint or f"https://{'' if in_path else f'{bucket}.'}s3.{self._region}.amazonaws.com"
        )
        self._host = base.netloc
        self._root = f"/{bucket}/" if in_path else "/"
        self._plain = base.scheme == "http"
        self._environ = environ
        self._calls = calls
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def from_environ(cls, bucket: str, calls: RequestCounter) -> SignedS3:
        """Read this process's environment."""
        return cls(bucket, os.environ, calls)

    def get(self, key: str) -> bytes | None:
        """Read an object; None when there is none (which S3 calls "denied" to who may not list)."""
        self._calls.add("s3:GetObject")
        status, body = self._request("GET", key)
        if status in (_DENIED, _MISSING):
            return None
        return self._checked(status, body, "GET", key)

    def get_at_once(self, key: str, seconds: float = 1.0) -> bytes | None:
        """Read a small object, with one try; None where it is missing or does not come in time."""
        import http.client  # noqa: PLC0415 - as in _request

        self._calls.add("s3:GetObject")
        path = self._root + quote(key, safe="/-_.~")
        try:
            status, body = self._send("GET", path, b"", self._signed("GET", path, b"", {}), seconds)
        except (OSError, http.client.HTTPException):
            self._connection = None
            return None
        return body if status == _OK else None

    def get_to_file(self, key: str, path: Path) -> None:
        """Read an object of any size into a file."""
        self._calls.add("s3:GetObject")
        import shutil  # noqa: PLC0415 - few stacks have a bundle

        place = self._root + quote(key, safe="/-_.~")
        connection = self._connect()
        try:
            connection.request("GET", place, headers=self._signed("GET", place, b"", {}))
            response = connection.getresponse()
            if response.status != _OK:
                self._checked(response.status, response.read(), "GET", key)
            with path.open("wb") as file:
                shutil.copyfileobj(response, file, 1 << 20)
        finally:
            connection.close()

    def put_new(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one; tell whether it was written."""
        self._calls.add("s3:PutObject")
        status, body = self._request("PUT", key, data, {"if-none-match": "*"})
        if status == _EXISTS:
            return False
        self._checked(status, body, "PUT", key)
        return True

    def _checked(self, status: int, body: bytes, verb: str, key: str) -> bytes:
        if status != _OK:
            raise AwsError(
                f"{verb} {key} answered {status}: {body[:300].decode(errors='replace')}",
                hint="Does the worker's role still have its policy? `dolambda deploy` puts it back.",
            )
        return body

    def _request(
        self, verb: str, key: str, data: bytes = b"", extra: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        import http.client  # noqa: PLC0415 - 15 ms, which a worker called directly does without

        path = self._root + quote(key, safe="/-_.~")
        failure: Exception | None = None
        for attempt in range(_TRIES):
            if attempt:
                import random  # noqa: PLC0415 - seldom needed, and 2 ms

                time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, no secret
            try:
                answer = self._send(verb, path, data, self._signed(verb, path, data, extra or {}))
            except (OSError, http.client.HTTPException) as error:
                self._connection, failure = None, error
                continue
            if answer[0] not in _PASSING:
                return answer
        if failure:
            raise failure
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        import http.client  # noqa: PLC0415 - as in _request

        kind = http.client.HTTPConnection if self._plain else http.client.HTTPSConnection
        return kind(self._host, timeout=_TIMEOUT_S)

    def _send(
        self,
        verb: str,
        path: str,
        data: bytes,
        headers: Mapping[str, str],
        seconds: float = _TIMEOUT_S,
    ) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.timeout = seconds
        if self._connection.sock:
            self._connection.sock.settimeout(seconds)
        self._connection.request(verb, path, body=data or None, headers=dict(headers))
        response = self._connection.getresponse()
        return response.status, response.read()

    def _signed(
        self, verb: str, path: str, data: bytes, extra: Mapping[str, str]
    ) -> dict[str, str]:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return sign(verb, self._host, path, data, extra, stamp, self._region, self._environ)


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
    """Headers of a request to S3, signed (AWS Signature Version 4, "Authenticating Requests: Authorization Header")."""
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
