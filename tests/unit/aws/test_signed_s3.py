from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dolambda.aws.request_counter import RequestCounter
from dolambda.aws.signed_s3 import SignedS3, sign
from dolambda.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("token", [None, "tok/+="])
@pytest.mark.parametrize(
    "key", ["jobs/client/000001/000000017", "blobs/" + "ab" * 32, "outs/a-b_c.d~e/000000001"]
)
def test_signatures_are_botocores(verb: str, token: str | None, key: str) -> None:
    data = b"content" if verb == "PUT" else b""
    extra: Mapping[str, str] = {"if-none-match": "*"} if verb == "PUT" else {}
    environ = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK/+"} | (
        {"AWS_SESSION_TOKEN": token} if token else {}
    )
    host = "bucket.s3.eu-west-1.amazonaws.com"
    request = AWSRequest(verb, f"https://{host}/{key}", headers=dict(extra), data=data)
    S3SigV4Auth(Credentials("AK", "SK/+", token), "s3", "eu-west-1").add_auth(request)
    ours = sign(
        verb, host, "/" + key, data, extra, request.headers["X-Amz-Date"], "eu-west-1", environ
    )
    assert ours["authorization"] == request.headers["Authorization"]


@pytest.mark.parametrize(
    ("bucket", "endpoint", "host", "root"),
    [
        ("plain", None, "plain.s3.eu-west-1.amazonaws.com", "/"),
        ("with.dots", None, "s3.eu-west-1.amazonaws.com", "/with.dots/"),
        ("plain", "http://127.0.0.1:4566", "127.0.0.1:4566", "/plain/"),
    ],
)
def test_the_bucket_is_in_the_host_unless_its_name_or_the_endpoint_forbids(
    bucket: str, endpoint: str | None, host: str, root: str
) -> None:
    s3 = SignedS3(
        bucket,
        {"AWS_REGION": "eu-west-1"} | ({"AWS_ENDPOINT_URL": endpoint} if endpoint else {}),
        RequestCounter(),
    )
    assert (s3._host, s3._root) == (host, root)


def test_passing_faults_are_tried_again_and_lasting_ones_told() -> None:
    answers = [(503, b"SlowDown"), (500, b""), (200, b"content"), (400, b"<Code>Bad</Code>")]
    s3 = SignedS3(
        "b",
        {"AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"},
        RequestCounter(),
    )
    s3._send = lambda *_: answers.pop(0)  # type: ignore[method-assign] # the faults
    assert s3.get("k") == b"content"
    with pytest.raises(AwsError, match="GET k answered 400: <Code>Bad"):
        s3.get("k")
    answers[:] = [(412, b""), (404, b"")]
    assert s3.put_new("k", b"x") is False
    assert s3.get("k") is None
