"""What botocore signs is accepted, and nothing else."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from dolambda.local.emulator.sigv4 import RefusedError, claim_of, verify

SECRET = "s3cr3t"  # noqa: S105 - a test's
HOST = "127.0.0.1:4566"
Signed = tuple[str, tuple[str, str], list[tuple[str, str]], str]


def signed(
    service: str, url: str, body: bytes = b"", method: str = "PUT", secret: str = SECRET
) -> Signed:
    """Return what a server sees of a request that botocore has signed."""
    request = AWSRequest(method, f"http://{HOST}{url}", data=body)
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(Credentials("KEY", secret), service, "us-east-1").add_auth(request)
    parts = urlsplit(request.url)
    headers = [(name.lower(), str(value)) for name, value in request.headers.items()]
    return method, (parts.path, parts.query), [*headers, ("host", HOST)], body_hash(body)


def body_hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def check(request: Signed, *, secret: str = SECRET, now: datetime | None = None) -> None:
    method, target, headers, payload = request
    claim = claim_of(headers, target[1])
    assert claim.key == "KEY"
    verify(claim, secret, method, target, headers, payload, now)


@pytest.mark.parametrize(
    ("service", "url"),
    [
        ("s3", "/bucket/blobs/a~b_c-d.e"),
        ("s3", "/bucket/a%20b%2Bc/%C3%A9"),
        ("s3", "/bucket?list-type=2&prefix=outs%2Fa&start-after="),
        ("s3", "/bucket?delete"),
        ("lambda", "/2015-03-31/functions/arn%3Aaws%3Alambda%3Af/invocations"),
        ("iam", "/"),
        ("logs", "/"),
    ],
)
def test_what_botocore_signs_is_accepted(service: str, url: str) -> None:
    check(signed(service, url, b"body"))


@given(st.text(min_size=1, max_size=20), st.binary(max_size=20))
def test_any_name_and_any_body(name: str, body: bytes) -> None:
    from urllib.parse import quote  # noqa: PLC0415 - only to make the name one of a URL

    try:
        path = f"/bucket/{quote(name, safe='~')}"
    except UnicodeEncodeError:
        return  # half a character is no name
    check(signed("s3", path, body))


@pytest.mark.parametrize("service", ["s3", "lambda", "iam"])
@pytest.mark.parametrize("part", ["method", "path", "query", "header", "body", "secret"])
def test_a_request_of_which_anything_was_changed_is_refused(service: str, part: str) -> None:
    method, (path, query), headers, payload = signed(service, "/bucket/key?a=b", b"body")
    changed = {
        "method": ("GET", (path, query), headers, payload),
        "path": (method, (path + "x", query), headers, payload),
        "query": (method, (path, "a=c"), headers, payload),
        "header": (
            method,
            (path, query),
            [(n, "127.0.0.1:1" if n == "host" else v) for n, v in headers],
            payload,
        ),
        "body": (method, (path, query), headers, body_hash(b"other")),
        "secret": (method, (path, query), headers, payload),
    }[part]
    with pytest.raises(RefusedError, match="does not match") as caught:
        check(changed, secret="another" if part == "secret" else SECRET)
    assert (
        caught.value.code
        == {
            "s3": "SignatureDoesNotMatch",
            "iam": "SignatureDoesNotMatch",
            "lambda": "InvalidSignatureException",
        }[service]
    )


@pytest.mark.parametrize("minutes", [-16, 16])
def test_an_old_request_and_one_of_the_future_are_refused(minutes: int) -> None:
    with pytest.raises(RefusedError, match="Signature"):
        check(signed("s3", "/b/k"), now=datetime.now(UTC) + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "AWS KEY:signature")],
        [("authorization", "Bearer token")],
        [("authorization", "AWS4-HMAC-SHA256 Credential=KEY")],
        [*signed("s3", "/b/k")[2], *signed("s3", "/b/k")[2]],
    ],
    ids=["none", "version 2", "bearer", "cut", "two"],
)
def test_other_ways_to_sign_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(RefusedError):
        claim_of(headers, "")


def test_a_key_in_the_query_beside_the_signed_one_is_refused() -> None:
    _, _, headers, _ = signed("s3", "/b/k")
    for query in ("X-Amz-Credential=other", "a=b&AWSAccessKeyId=other", "x-amz-credential=o"):
        with pytest.raises(RefusedError):
            claim_of(headers, query)
