"""Objects of any size: what S3's answers mean."""

from __future__ import annotations

import os
import re
import signal
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.aws.objects import _RETRIES, Bucket
from dolambda.aws.request_counter import without_throttled
from dolambda.errors import AccessDeniedError
from support.http_server import Server, account
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.http_server import Answer

DENIED = (
    403,
    {"Content-Type": "application/xml"},
    b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
)


def listing(*keys: str) -> tuple[int, dict[str, str], bytes]:
    entries = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f'<ETag>"x"</ETag><Size>1</Size></Contents>'
        for key in keys
    )
    text = (
        f"<ListBucketResult><Name>b</Name><KeyCount>{len(keys)}</KeyCount>"
        f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    )
    return 200, {"Content-Type": "application/xml"}, text.encode()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def test_a_missing_object_that_s3_calls_denied_is_missing(server: Server) -> None:
    """S3 answers 403 for a missing key to who may list some prefixes only (API_GetObject)."""
    bucket = Bucket.from_account(account(server.url), "b")
    server.answers = [DENIED, listing("blobs/abd")]
    with pytest.raises(FileNotFoundError):
        bucket.get("blobs/abc")
    assert "prefix=blobs%2F" in server.seen[-1][0]
    assert "start-after=blobs%2Fab" in server.seen[-1][0]


def test_a_denial_of_an_organisation_is_told_apart(server: Server) -> None:
    bucket = Bucket.from_account(account(server.url), "b")
    status, headers, body = DENIED
    said = body.replace(
        b"Access Denied",
        b"u is not authorized to perform: s3:ListBucket because no service "
        b"control policy allows the s3:ListBucket action",
    )
    server.answers = [(status, headers, said)]
    with pytest.raises(AccessDeniedError, match=r"s3:ListBucket.*\n.*\(SCP\)"):
        bucket.list("outs/")


def test_an_object_that_is_denied_is_denied(server: Server) -> None:
    bucket = Bucket.from_account(account(server.url), "b")
    server.answers = [DENIED, listing("blobs/abc", "blobs/abd")]
    with pytest.raises(AccessDeniedError, match="s3:GetObject"):
        bucket.get("blobs/abc")
    server.answers = [DENIED]
    with pytest.raises(AccessDeniedError, match="s3:ListBucket"):
        bucket.get("blobs/abc")


def test_the_age_of_a_blob_that_is_not_there_is_none(server: Server) -> None:
    bucket = Bucket.from_account(account(server.url), "b")
    server.answers = [(403, {}, b""), listing()]
    assert bucket.age("blobs/abc") is None


def test_a_head_whose_connection_stalled_is_repeated(server: Server) -> None:
    """S3's code, RequestTimeout, is in the body, which an answer to HEAD does not have."""
    bucket = Bucket.from_account(account(server.url), "b")
    there = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    server.answers = [(400, {}, b""), (400, {}, b""), (200, there, b"")]
    assert bucket.age("blobs/abc")
    assert len(server.seen) == 3


SLOW_DOWN: Answer = (503, {}, b"<Error><Code>SlowDown</Code></Error>")


def test_throttling_is_waited_out_for_longer_than_obstore_does(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """obstore gives up after ten repetitions, in one or two seconds: here in a tenth of them."""
    monkeypatch.setitem(_RETRIES["backoff"], "init_backoff", timedelta(milliseconds=5))
    bucket = Bucket.from_account(account(server.url), "b")
    server.answers = [*[SLOW_DOWN] * 14, listing("outs/a")]
    assert bucket.list("outs/") == ["outs/a"]
    server.answers = [*[SLOW_DOWN] * 14, (200, {}, b"")]
    bucket.put("blobs/a", b"x")
    assert len(server.seen) == 30
    # Once for each time that obstore gave up.
    throttled = without_throttled(bucket.calls.totals())[1]
    assert throttled == {"s3:ListBucket": 1, "s3:PutObject": 1}


def test_a_large_object_travels_in_parts(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request for all of it would have to end within two minutes, on any line."""
    part = 5 << 20
    monkeypatch.setattr("dolambda.aws.objects._PART", part)
    bucket = Bucket.from_account(account(server.url), "b")
    begun = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
    ended = b'<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>'
    server.answers = [(200, {}, begun), *[(200, {}, b"")] * 3, (200, {}, ended)]
    bucket.put("blobs/a", b"x" * (2 * part + 1))
    sizes = [len(body) for _, _, body in server.seen]
    assert sorted(sizes[1:4]) == [1, part, part]
    assert bucket.calls.totals()["s3:PutObject"] == 5


DELETED: Answer = (200, {}, b"<DeleteResult><Deleted><Key>outs/0</Key></Deleted></DeleteResult>")
REFUSED = b"<Error><Key>outs/3</Key><Code>SlowDown</Code><Message>Slow down.</Message></Error>"
KEY_REFUSED: Answer = (200, {}, b"<DeleteResult>%s</DeleteResult>" % REFUSED)


def test_each_key_of_a_deletion_is_a_write_for_s3(server: Server) -> None:
    """A thousand at once are a third of what a prefix takes in a second, of all who use it."""
    bucket = Bucket.from_account(account(server.url), "b")
    server.answers = [DELETED]
    bucket.delete([f"outs/{number}" for number in range(1600)])
    sizes = [body.count(b"<Key>") for _, _, body in server.seen]
    assert sorted(sizes) == [100] + [250] * 6
    assert (
        len({key for _, _, body in server.seen for key in re.findall(b"outs/[0-9]+", body)}) == 1600
    )
    assert bucket.calls.totals()["s3:DeleteObjects"] == 7


def test_keys_that_s3_refuses_to_delete_are_deleted_later(server: Server) -> None:
    bucket = Bucket.from_account(account(server.url), "b")
    server.answers = [*[KEY_REFUSED] * 14, DELETED]  # obstore repeats ten times
    bucket.delete([f"outs/{number}" for number in range(100)])
    assert [body.count(b"<Key>") for _, _, body in server.seen] == [100] * 15


def test_a_deletion_that_is_denied_raises_once_and_leaves_the_rest(server: Server) -> None:
    bucket = Bucket.from_account(account(server.url), "b")
    denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    server.answers = [(403, {}, denied)]
    with pytest.raises(AccessDeniedError, match="DeleteObjects"):
        bucket.delete([f"outs/{number}" for number in range(100 * 250)])
    assert len(server.seen) < 50


def test_requests_of_one_moment_all_use_the_renewed_credentials(server: Server) -> None:
    who = account(server.url)
    bucket = Bucket.from_account(who, "b")
    server.answers = [DELETED]
    bucket.delete(["outs/0"])
    credentials: Any = who.session.get_credentials()
    credentials.access_key = "NEW"
    refused = b"<Error><Code>InvalidAccessKeyId</Code><Message>Unknown.</Message></Error>"
    server.answers = [*[(403, {}, refused)] * 4, DELETED]
    server.together = threading.Barrier(4)
    bucket.delete([f"outs/{number}" for number in range(4 * 250)])
    used = ["Credential=NEW/" in headers["authorization"] for _, headers, _ in server.seen]
    assert used == [False] * 5 + [True] * 4


def test_ctrl_c_does_not_wait_for_deletions_that_are_repeated(server: Server) -> None:
    bucket = Bucket.from_account(account(server.url), "b")
    server.answers = [(503, {}, b"<Error><Code>SlowDown</Code></Error>")]

    def interrupt() -> None:
        until(lambda: len(server.seen) >= 4)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            bucket.delete([f"outs/{number}" for number in range(100 * 250)])
        thread.join(60)
    finally:
        signal.signal(signal.SIGINT, before)
    helpers = [one for one in threading.enumerate() if one.name == "dolambda-delete"]
    assert helpers
    server.answers = [DELETED]
    for helper in helpers:
        helper.join(60)
        assert not helper.is_alive()
    assert len({body for _, _, body in server.seen}) == 4  # no further batch was begun


def test_the_owner_of_the_bucket_is_signed_wherever_data_goes(server: Server) -> None:
    bucket = Bucket.from_account(account(server.url), "b", "123456789012")
    there = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    server.answers = [(200, {}, b""), (200, there, b""), DELETED, listing()]
    bucket.put("blobs/a", b"x")
    assert bucket.age("blobs/a")
    bucket.delete(["outs/0"])
    assert bucket.list("outs/") == []
    name = "x-amz-expected-bucket-owner"
    for _, headers, _ in server.seen:
        assert (name in headers) == (name in headers["authorization"])
    assert [headers.get(name) for _, headers, _ in server.seen] == [*["123456789012"] * 3, None]
