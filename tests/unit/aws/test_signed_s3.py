from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dolambda.aws.request_counter import RequestCounter, without_throttled
from dolambda.aws.signed_s3 import SignedS3, sign
from dolambda.errors import AccessDeniedError, AwsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from support.http_server import Answer, Server


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


NO_KEY = (
    b"<Error><Code>AccessDenied</Code><Message>User: arn:aws:sts::1:assumed-role/w/f is not "
    b"authorized to perform: "
    b"s3:ListBucket on resource: arn because no identity-based policy allows it</Message></Error>"
)
DENIED = NO_KEY.replace(b"s3:ListBucket", b"s3:GetObject")
NO_KMS = NO_KEY.replace(b"s3:ListBucket", b"kms:Decrypt")


@pytest.fixture
def s3(server: Server) -> Iterator[SignedS3]:
    environ = {"AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    made = SignedS3("b", environ | {"AWS_ENDPOINT_URL": server.url}, RequestCounter())
    yield made
    made.close()


def answered(status: int, body: bytes) -> Answer:
    return status, {}, body


def test_passing_faults_are_tried_again_and_lasting_ones_reported(
    s3: SignedS3, server: Server
) -> None:
    timed_out = b"<Code>RequestTimeout</Code>"
    faults = [answered(503, b"SlowDown"), answered(500, b""), None, answered(400, timed_out)]
    server.answers = [*faults, answered(200, b"content"), answered(400, b"<Code>Bad</Code>")]
    assert s3.get("k") == b"content"
    with pytest.raises(AwsError, match="GET k returned 400: <Code>Bad"):
        s3.get("k")
    server.answers = [answered(412, b""), answered(404, b""), answered(404, b"")]
    assert s3.put_new("k", b"x") is False
    assert s3.get("k") is None


@pytest.mark.parametrize("denial", [DENIED, NO_KMS, b"<Code>AccessDenied</Code>", b""])
def test_a_denial_is_no_missing_key_and_passes_once_the_policy_is_in_force(
    s3: SignedS3, server: Server, denial: bytes
) -> None:
    server.answers = [*[answered(403, denial)] * 4, answered(200, b"a job")]
    assert s3.get("k") == b"a job"
    server.answers = [answered(403, denial)]
    s3.begin_invocation(1.5)
    with pytest.raises(AccessDeniedError, match="GET k returned 403"):
        s3.get("k")
    assert len(server.seen) > 6


def test_a_bounded_role_is_told_apart_from_one_without_its_policy(
    s3: SignedS3, server: Server
) -> None:
    said = b"User: " + b"u" * 500 + b" is not authorized to perform: s3:GetObject because no "
    said += b"permissions boundary allows the s3:GetObject action"
    server.answers = [answered(403, b"<Code>AccessDenied</Code><Message>" + said)]
    s3.begin_invocation(0.5)
    with pytest.raises(AccessDeniedError, match=r"permissions boundary of these credentials"):
        s3.get("k")


def test_a_missing_key_is_known_from_the_listing_that_is_denied(
    s3: SignedS3, server: Server
) -> None:
    server.answers = [answered(403, NO_KEY)]
    assert s3.get("k") is None
    assert len(server.seen) == 1
    server.answers = [answered(404, b"<Code>NoSuchBucket</Code>")]
    with pytest.raises(AwsError, match="NoSuchBucket"):
        s3.get("k")


def test_a_reply_is_put_as_long_as_the_invocation_lasts(
    s3: SignedS3, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.aws.signed_s3._LONGEST_PAUSE_S", 0.2)
    s3.begin_invocation(60.0)
    server.answers = [*[answered(503, b"<Code>SlowDown</Code>")] * 9, answered(200, b"")]
    assert s3.put_new("outs/k", b"a reply") is True  # after more than six tries
    assert len(server.seen) == 10
    assert without_throttled(s3._calls.totals()) == ({"s3:PutObject": 1}, {"s3:PutObject": 9})
    s3.begin_invocation(1.2)
    server.answers = [answered(503, b"<Code>SlowDown</Code>")]
    with pytest.raises(AwsError, match="returned 503"):
        s3.put_new("outs/k", b"a reply")


@pytest.mark.parametrize("trouble", [answered(503, b""), answered(403, b""), None])
def test_a_part_of_an_output_has_one_try(s3: SignedS3, server: Server, trouble: Answer) -> None:
    server.answers = [trouble, answered(200, b"")]
    assert s3.put_at_once("k", b"a part") is False
    assert len(server.seen) == 1
    assert s3.put_at_once("k", b"a part") is True
    assert server.seen[-1][2] == b"a part"
    server.answers, server.delay = [answered(200, b"")], 2.0
    assert s3.put_at_once("k", b"late", 0.2) is False


def test_a_large_object_is_fetched_again_when_it_comes_cut_off(
    s3: SignedS3, server: Server, tmp_path: Path
) -> None:
    cut = (200, {"Content-Length": "9", "Connection": "close"}, b"half")
    server.answers = [answered(503, b""), None, cut, answered(200, b"the whole")]
    s3.get_to_file("k", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"the whole"


@pytest.mark.parametrize("trouble", [answered(503, b""), answered(403, b""), None])
def test_a_question_has_one_try(s3: SignedS3, server: Server, trouble: Answer) -> None:
    server.answers = [trouble, answered(200, b"a lease")]
    assert s3.get_at_once("k") is None
    assert len(server.seen) == 1
    assert s3.get_at_once("k") == b"a lease"
    server.answers, server.delay = [answered(200, b"late")], 2.0
    assert s3.get_at_once("k", 0.2) is None
    server.delay = 0.0
    server.answers = [answered(200, b"another")]
    assert s3.get("k") == b"another"  # not what came late


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("cn-north-1", "b.s3.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "b.s3.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_the_host_is_that_of_the_regions_partition(region: str, host: str) -> None:
    assert SignedS3("b", {"AWS_REGION": region}, RequestCounter())._host == host


def test_a_bucket_of_another_account_is_refused_by_s3(s3: SignedS3, server: Server) -> None:
    """The names of our buckets can be guessed: S3 compares the owner, if it is asked to."""
    server.answers = [answered(200, b"")]
    s3.get("k")
    s3.owner = "123456789012"
    s3.get("k")
    s3.put_new("k", b"x")
    without, *those = [headers for _, headers, _ in server.seen]
    assert "x-amz-expected-bucket-owner" not in without
    for headers in those:
        assert headers["x-amz-expected-bucket-owner"] == "123456789012"
        assert ";x-amz-expected-bucket-owner" in headers["authorization"]


def test_a_connection_that_was_idle_is_not_used_again(server: Server) -> None:
    """Lambda freezes the process in between; a network may drop the connection without a word."""
    now = [1000.0]
    environ = {"AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    environ["AWS_ENDPOINT_URL"] = server.url
    s3 = SignedS3("b", environ, RequestCounter(), lambda: now[0])
    seen = []
    for idle in (0.0, 4.0, 6.0, 1.0):
        now[0] += idle
        s3.get("k")
        seen.append(s3._connection)
    assert seen[0] is seen[1]
    assert seen[1] is not seen[2]
    assert seen[2] is seen[3]
    s3.close()


def test_the_certificates_are_read_once() -> None:
    one, other = (SignedS3(name, {"AWS_REGION": "r"}, RequestCounter()) for name in "ab")
    connections: list[Any] = [one._connect(), one._connect(), other._connect()]
    assert len({id(connection._context) for connection in connections}) == 1
    assert connections[0]._context.verify_mode == ssl.CERT_REQUIRED


def test_a_worker_takes_no_part_in_the_lineage_by_which_lambda_ends_loops(server: Server) -> None:
    """Lambda stops a chain of invocations that comes to a function 16 times, by the trace header.

    Replies are put into the bucket whose events invoke the function, in another prefix.
    """
    environ = {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "SK",
        "AWS_ENDPOINT_URL": server.url,
        "_X_AMZN_TRACE_ID": "Root=1-2-3;Parent=4;Sampled=0;Lineage=1:abcd:15",
    }
    s3 = SignedS3("b", environ, RequestCounter())
    s3.begin_invocation(10)
    assert s3.put_new("outs/a/0", b"x")
    s3.close()
    ((_, headers, _),) = server.seen
    assert "x-amzn-trace-id" not in {name.lower() for name in headers}
