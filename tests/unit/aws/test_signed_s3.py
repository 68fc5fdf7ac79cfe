from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dolambda.aws.signed_s3 import sign

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("token", [None, "tok/+="])
@pytest.mark.parametrize("key", ["jobs/client/000001/000000017", "blobs/" + "ab" * 32, "outs/a-b_c.d~e/000000001"])
def test_signatures_are_botocores(verb: str, token: str | None, key: str) -> None:
    data = b"content" if verb == "PUT" else b""
    extra: Mapping[str, str] = {"if-none-match": "*"} if verb == "PUT" else {}
    environ = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK/+"} | ({"AWS_SESSION_TOKEN": token} if token else {})
    host = "bucket.s3.eu-west-1.amazonaws.com"
    request = AWSRequest(verb, f"https://{host}/{key}", headers=dict(extra), data=data)
    S3SigV4Auth(Credentials("AK", "SK/+", token), "s3", "eu-west-1").add_auth(request)
    ours = sign(verb, host, "/" + key, data, extra, request.headers["X-Amz-Date"], "eu-west-1", environ)
    assert ours["authorization"] == request.headers["Authorization"]
