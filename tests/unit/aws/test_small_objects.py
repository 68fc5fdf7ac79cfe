"""Objects put and got without waiting, against a server whose answers are chosen."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.aws.reactor import Reactor
from dolambda.aws.request_counter import RequestCounter, without_throttled
from dolambda.aws.small_objects import SmallObjects
from dolambda.errors import AccessDeniedError, AwsError, ThrottledError
from support.http_server import Server, account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.http_server import Answer

BUSY: Answer = (503, {}, b"<Error><Code>SlowDown</Code></Error>")
EXPIRED: Answer = (400, {}, b"<Error><Code>ExpiredToken</Code></Error>")


@pytest.fixture
def small(server: Server) -> Iterator[SmallObjects]:
    who = account(server.url, "TOKEN")
    reactor = Reactor(who)
    yield SmallObjects(reactor, who, "bucket", RequestCounter())
    reactor.close()


def put(small: SmallObjects, data: bytes) -> None:
    future: Future[Any] = Future()
    small.put("jobs/a/1", data, future.set_result)
    if error := future.result(20):
        raise error


def get(small: SmallObjects) -> bytes:
    future: Future[Any] = Future()
    small.get("outs/a/1", future.set_result)
    answer = future.result(20)
    if isinstance(answer, BaseException):
        raise answer
    assert isinstance(answer, bytes)
    return answer


def test_objects_are_put_and_got_signed_and_counted(server: Server, small: SmallObjects) -> None:
    put(small, b"a job")
    server.answers = [(200, {}, b"a reply")]
    assert get(small) == b"a reply"
    (path, headers, body), (other, _, nothing) = server.seen
    assert (path, body, other, nothing) == ("/bucket/jobs/a/1", b"a job", "/bucket/outs/a/1", b"")
    assert "/us-east-1/s3/aws4_request" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == "TOKEN"
    assert small._calls.totals() == {"s3:PutObject": 1, "s3:GetObject": 1}
    assert (small._calls.sent, small._calls.received) == (5, 9)  # the PUT was answered with {}


@pytest.mark.parametrize(
    "trouble",
    [
        BUSY,
        (500, {}, b""),
        (409, {}, b""),
        (400, {}, b"<Error><Code>RequestTimeout</Code></Error>"),
        (400, {}, b"<Error><Code>SlowDown</Code></Error>"),
        None,
        (200, {"Content-Length": "50", "Connection": "close"}, b"cut off"),
        (200, {"ETag": None}, b"<html>Please log in</html>"),
        (302, {"ETag": None, "Location": "http://127.0.0.1/login"}, b""),
        (403, {"ETag": None}, b"<html>Blocked</html>"),
        (404, {}, b"nothing here"),
        (200, {"ETag": None}, b""),
    ],
)
def test_passing_trouble_is_repeated_and_counted(
    server: Server, small: SmallObjects, trouble: Answer
) -> None:
    server.answers = [trouble, trouble, (200, {}, b"a reply")]
    assert get(small) == b"a reply"
    requests, throttled = without_throttled(small._calls.totals())
    assert requests == {"s3:GetObject": 3}
    assert throttled == ({"s3:GetObject": 2} if trouble and b"SlowDown" in trouble[2] else {})


def test_an_answer_that_is_not_s3s_stores_nothing(server: Server, small: SmallObjects) -> None:
    server.answers = [(200, {"ETag": None}, b"<html>Please log in</html>"), (200, {}, b"")]
    put(small, b"a job")
    assert len(server.seen) == 2


def test_trouble_that_stays_is_told(
    small: SmallObjects, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.aws.small_objects._PATIENCE", 0.3)
    server.answers = [BUSY]
    with pytest.raises(
        ThrottledError,
        match="PutObject on s3://bucket/jobs/a/1 failed: 503 SlowDown\n  It was repeated",
    ):
        put(small, b"a job")
    server.answers = [None]
    with pytest.raises(AwsError, match="GetObject on s3://bucket/outs/a/1 failed: no answer"):
        get(small)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (
            (403, {}, b"<Error><Code>AccessDenied</Code></Error>"),
            AccessDeniedError,
            r"was denied \(AccessDenied\)",
        ),
        (
            (
                403,
                {},
                (
                    b"<Error><Code>AccessDenied</Code><Message>User: u is not authorized to "
                    b"perform: "
                    b"s3:GetObject with an explicit deny in a service control "
                    b"policy</Message></Error>"
                ),
            ),
            AccessDeniedError,
            r"was denied \(AccessDenied\)\n.*\(SCP\)",
        ),
        ((404, {}, b"<Error><Code>NoSuchKey</Code></Error>"), FileNotFoundError, "outs/a/1"),
        (
            (404, {}, b"<Error><Code>NoSuchBucket</Code></Error>"),
            AwsError,
            "failed: 404 NoSuchBucket\n  Check the network",
        ),
        (EXPIRED, AccessDeniedError, r"was denied \(ExpiredToken\)"),
    ],
)
def test_what_is_refused_is_told_and_not_repeated(
    server: Server, small: SmallObjects, answer: Answer, kind: type[Exception], says: str
) -> None:
    server.answers = [answer]
    with pytest.raises(kind, match=says):
        get(small)
    assert len(server.seen) == 1


def test_where_credentials_renew_themselves_expired_ones_are_repeated(
    server: Server, small: SmallObjects
) -> None:
    small._reactor._credentials.refresh_needed = lambda: (
        False
    )  # as botocore's refreshable credentials have it
    server.answers = [EXPIRED, (200, {}, b"a reply")]
    assert get(small) == b"a reply"


def test_what_is_dropped_before_it_is_sent_is_not_sent(server: Server, small: SmallObjects) -> None:
    server.answers = [BUSY, (200, {}, b"")]
    future: Future[Any] = Future()
    request = small.put("jobs/a/1", b"a job", future.set_result)
    request.dropped = True  # before or after its first try: not repeated, at the least
    assert isinstance(future.result(20), AwsError)
    assert len(server.seen) <= 1


def test_hundreds_go_at_once_and_no_more_than_s3_is_meant_to_have(
    server: Server, small: SmallObjects
) -> None:
    server.delay = 0.05
    futures: list[Future[Any]] = [Future() for _ in range(600)]
    for future in futures:
        small.put("jobs/a/1", b"a job", future.set_result)
    assert [future.result(30) for future in futures] == [None] * 600
    assert sum(shard.active for shard in small._reactor._shards) == 0
    assert len(small._reactor._idle["s3", "PUT"]) <= 256


def test_the_owner_of_the_bucket_is_signed(server: Server) -> None:
    who = account(server.url)
    reactor = Reactor(who)
    small = SmallObjects(reactor, who, "bucket", RequestCounter(), "123456789012")
    done: Future[object] = Future()
    small.put("jobs/a/1", b"a job", done.set_result)
    assert done.result(20) is None
    reactor.close()
    headers = {name.lower(): value for name, value in server.seen[0][1].items()}
    assert headers["x-amz-expected-bucket-owner"] == "123456789012"
    assert "x-amz-expected-bucket-owner" in headers["authorization"]
