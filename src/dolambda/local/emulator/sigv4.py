"""Signature Version 4 on the server's side, as AWS documents it.

**Input:** a request as it was sent, and the secret of the key that it names. **Output:** nothing,
or `RefusedError` with AWS's own code and sentence.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORM = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^/,\s]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, *"
    r"SignedHeaders=([a-z0-9;._-]+), *Signature=([0-9a-f]{64})"
)
_SKEW = timedelta(minutes=15)
_QUERY_SERVICES = ("iam", "sts")
_UNRESERVED = "-_.~"

CODES = {  # reason: code for S3, for services of the query protocol, for all others
    "missing": (
        "AccessDenied",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
    ),
    "form": ("AuthorizationHeaderMalformed", "IncompleteSignature", "IncompleteSignatureException"),
    "key": ("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"),
    "token": ("InvalidToken", "InvalidClientTokenId", "UnrecognizedClientException"),
    "expired": ("ExpiredToken", "ExpiredToken", "ExpiredTokenException"),
    "signature": ("SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException"),
    "clock": ("RequestTimeTooSkewed", "SignatureDoesNotMatch", "InvalidSignatureException"),
    "body": ("XAmzContentSHA256Mismatch", "SignatureDoesNotMatch", "InvalidSignatureException"),
}


class RefusedError(Exception):
    """A request that AWS would refuse. `code` is the service's name for the reason."""

    def __init__(self, service: str, reason: str, text: str) -> None:
        """Create the error. ``reason`` is a key of `CODES`."""
        super().__init__(text)
        self.service = service
        self.reason = reason
        column = 0 if service == "s3" else 1 if service in _QUERY_SERVICES else 2
        self.code = CODES[reason][column]


@dataclass(frozen=True)
class Claim:
    """An Authorization header."""

    key: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str


def claim_of(headers: Iterable[tuple[str, str]], query: str) -> Claim:
    """Return the claim in a request's only Authorization header. Names are lower-case.

    Raises:
        RefusedError: There is no such header, or it is malformed.
    """
    found = [value for name, value in headers if name == "authorization"]
    if len(found) != 1 or re.search(r"(?i)(^|&)(x-amz-credential|awsaccesskeyid)=", query):
        raise RefusedError("s3", "missing", "Sign the request in its one Authorization header")
    form = _FORM.fullmatch(found[0].strip())
    if form is None:
        raise RefusedError("s3", "form", "The Authorization header is not of AWS4-HMAC-SHA256")
    key, date, region, service, signed, signature = form.groups()
    return Claim(key, date, region, service, tuple(signed.split(";")), signature)


def verify(
    claim: Claim,
    secret: str,
    method: str,
    target: tuple[str, str],
    headers: list[tuple[str, str]],
    payload: str,
    now: datetime | None = None,
) -> None:
    """Check that a request is signed with ``secret``.

    Args:
        claim: The Authorization header.
        secret: The secret of its key.
        method: The HTTP method.
        target: Path and query as they were sent.
        headers: The headers.
        payload: The hash that was signed for the body.
        now: The time. Default: the current time.

    Raises:
        RefusedError: The signature is wrong.
    """
    stamp = next((value for name, value in headers if name == "x-amz-date"), "")
    _check_clock(claim, stamp, now or datetime.now(UTC))
    if "host" not in claim.signed:
        raise RefusedError(claim.service, "signature", "The Host header is not signed")
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    signing = _signing_key(secret, claim.date, claim.region, claim.service)
    for path in _canonical_paths(target[0], claim.service):
        canonical = _canonical(claim, method, path, target[1], headers, payload)
        digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        expected = hmac.new(signing, text.encode(), hashlib.sha256).hexdigest()
        if hmac.compare_digest(expected, claim.signature):
            return
    raise RefusedError(
        claim.service,
        "signature",
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
    )


def _check_clock(claim: Claim, stamp: str, now: datetime) -> None:
    try:
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise RefusedError(claim.service, "form", f"X-Amz-Date {stamp!r} is not a time") from None
    if abs(now - sent) > _SKEW:
        past = "Signature expired" if sent < now else "Signature not yet current"
        raise RefusedError(claim.service, "clock", f"{past}: {stamp} (now {now:%Y%m%dT%H%M%SZ})")
    if not stamp.startswith(claim.date):
        raise RefusedError(claim.service, "form", "The credential's date is not X-Amz-Date's")


@lru_cache(maxsize=256)
def _signing_key(secret: str, *scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (*scope, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _canonical_paths(path: str, service: str) -> list[str]:
    """Return the forms in which clients sign a path: encoded once for S3, otherwise twice."""
    if service == "s3":
        again = quote(unquote(path, "latin-1"), safe="/" + _UNRESERVED, encoding="latin-1")
        return [path] if again == path else [path, again]
    return [quote(path, safe="/" + _UNRESERVED)]


def _canonical(
    claim: Claim,
    method: str,
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    payload: str,
) -> str:
    lines = []
    for wanted in claim.signed:
        values = [" ".join(value.split()) for name, value in headers if name == wanted]
        lines.append(f"{wanted}:{','.join(values)}\n")
    names = ";".join(claim.signed)
    return f"{method}\n{path}\n{_canonical_query(query)}\n{''.join(lines)}\n{names}\n{payload}"


def _canonical_query(query: str) -> str:
    pairs = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        pairs.append(tuple(quote(unquote(one), safe=_UNRESERVED) for one in (name, value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
