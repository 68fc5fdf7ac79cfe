"""The caller of a function against a server whose answers are chosen: throttled, refused, cut off,
ended.
"""

from __future__ import annotations

import gc
import json
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.aws.invoke import FunctionEndedError, Invoker, UnknownOutcomeError
from dolambda.aws.reactor import Reactor
from dolambda.aws.request import Request
from dolambda.aws.request_counter import RequestCounter, without_throttled
from dolambda.errors import AccessDeniedError, AwsError, NotDeployedError, ThrottledError
from support.dropping import Dropping
from support.http_server import Server, account
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.http_server import Answer


def an_invoker(url: str, token: str | None = None, calls: RequestCounter | None = None) -> Invoker:
    who = account(url, token)
    return Invoker(Reactor(who), who, "f", calls or RequestCounter())


@pytest.fixture
def invoker(server: Server) -> Iterator[Invoker]:
    made = an_invoker(server.url)
    yield made
    made._reactor.close()
    made._reactor.close()  # once more does no harm


def called(invoker: Invoker, payload: bytes = b"{}") -> bytes:
    return sent(invoker, payload).result(20)


def sent(invoker: Invoker, payload: bytes = b"{}") -> Future[bytes]:
    future: Future[bytes] = Future()

    def done(answer: bytes | BaseException) -> None:
        if isinstance(answer, bytes):
            future.set_result(answer)
        else:
            future.set_exception(answer)

    invoker.send(payload, done)
    return future


def test_a_call_is_signed_and_answered_and_counted(server: Server) -> None:
    calls = RequestCounter()
    invoker = an_invoker(server.url, "TOKEN", calls)
    server.answers = [(200, {}, b'{"x": 1}')]
    assert called(invoker, b'{"a": 1}') == b'{"x": 1}'
    invoker._reactor.close()
    path, headers, body = server.seen[0]
    assert path == "/2015-03-31/functions/f/invocations"
    assert body == b'{"a": 1}'
    assert "Credential=AK/" in headers["Authorization"]
    assert "/us-east-1/lambda/aws4_request" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == "TOKEN"
    assert (calls.totals(), calls.sent, calls.received) == ({"lambda:InvokeFunction": 1}, 8, 8)


def test_hundreds_at_once_from_many_threads(server: Server, invoker: Invoker) -> None:
    server.together = threading.Barrier(200)
    futures: list[Future[bytes]] = []
    threads = [
        threading.Thread(target=lambda: futures.extend(sent(invoker) for _ in range(20)))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [future.result(30) for future in futures] == [b"{}"] * 200


@pytest.mark.parametrize("status", [429, 503])
def test_what_was_throttled_is_repeated_and_the_reason_told(server: Server, status: int) -> None:
    reasons: list[str] = []
    calls = RequestCounter()
    invoker = an_invoker(server.url, calls=calls)
    invoker.throttled = reasons.append
    body = json.dumps(
        {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "message": "Rate Exceeded."}
    ).encode()
    server.answers = [(status, {}, body), (status, {}, body), (200, {}, b'"ok"')]
    assert called(invoker) == b'"ok"'
    assert reasons == ["ReservedFunctionConcurrentInvocationLimitExceeded"] * 2
    assert without_throttled(calls.totals())[1] == {f"lambda:InvokeFunction {reasons[0]}": 2}
    invoker._reactor.close()


PENDING = json.dumps(
    {
        "Type": "User",
        "message": "The operation cannot be performed at this time. The function is currently in "
        "the "
        "following state: Pending",
    }
).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (409, "ResourceConflictException"),
        (409, "SnapStartNotReadyException"),
        (408, "RequestTimeoutException"),
    ],
)
def test_a_function_that_is_not_ready_yet_is_called_again(
    server: Server, invoker: Invoker, status: int, kind: str
) -> None:
    not_yet: Answer = (status, {"x-amzn-ErrorType": kind}, PENDING)
    server.answers = [not_yet, not_yet, not_yet, (200, {}, b'"ok"')]
    assert called(invoker) == b'"ok"'
    assert len(server.seen) == 4


def test_a_function_that_does_not_become_ready_is_told(
    server: Server, invoker: Invoker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.aws.invoke._SETTLING", 0.3)
    server.answers = [(409, {"x-amzn-ErrorType": "ResourceConflictException"}, PENDING)]
    with pytest.raises(AwsError, match=r"following state: Pending.*\n  It was repeated"):
        called(invoker)
    assert len(server.seen) > 1


def test_a_conflict_that_is_not_lambdas_is_not_repeated(server: Server, invoker: Invoker) -> None:
    server.answers = [(409, {}, b"<html>Blocked</html>")]
    with pytest.raises(UnknownOutcomeError, match="another server replied"):
        called(invoker)
    assert len(server.seen) == 1


def test_throttled_for_too_long_it_says_so(
    server: Server, invoker: Invoker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.aws.invoke._PATIENCE", 0.3)
    server.answers = [(429, {}, b'{"Reason": "ConcurrentInvocationLimitExceeded"}')]
    with pytest.raises(
        ThrottledError, match="ConcurrentInvocationLimitExceeded\n  It was repeated"
    ):
        called(invoker)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (
            (403, {"x-amzn-ErrorType": "AccessDeniedException"}, b"{}"),
            AccessDeniedError,
            "lambda:InvokeFunction was denied",
        ),
        (
            (
                403,
                {"x-amzn-ErrorType": "AccessDeniedException"},
                b'{"Message": "User: ' + b"u" * 300 + b" is not authorized to perform: "
                b"lambda:InvokeFunction because no permissions boundary allows the "
                b'lambda:InvokeFunction action"}',
            ),
            AccessDeniedError,
            r"was denied.*\n.*permissions boundary of these credentials",
        ),
        (
            (404, {"x-amzn-ErrorType": "ResourceNotFoundException"}, b"{}"),
            NotDeployedError,
            "the function does not exist",
        ),
        (
            (413, {"x-amzn-ErrorType": "RequestEntityTooLargeException"}, b"{}"),
            AwsError,
            "Lambda returned 413 RequestEntityTooLarge",
        ),
        (
            (500, {"x-amzn-ErrorType": "ServiceException"}, b"{}"),
            UnknownOutcomeError,
            "Lambda returned 500 ServiceException",
        ),
        (None, UnknownOutcomeError, "the connection to Lambda ended"),
        (
            (302, {"Location": "http://127.0.0.1/login"}, b""),
            UnknownOutcomeError,
            "another server replied in Lambda's place: 302",
        ),
        ((403, {}, b"<html>Blocked</html>"), UnknownOutcomeError, "in Lambda's place: 403"),
        ((404, {}, b"404 page not found"), UnknownOutcomeError, "in Lambda's place: 404"),
        ((400, {}, b"[" * 100_000), UnknownOutcomeError, "in Lambda's place: 400"),
    ],
)
def test_what_is_refused_or_cut_is_told_and_not_repeated(
    server: Server, invoker: Invoker, answer: Answer, kind: type[Exception], says: str
) -> None:
    server.answers = [answer]
    with pytest.raises(kind, match=says):
        called(invoker)
    assert len(server.seen) == 1


@pytest.mark.parametrize("kind", ["Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory"])
def test_how_the_environment_ended_is_told(server: Server, invoker: Invoker, kind: str) -> None:
    server.answers = [
        (
            200,
            {"X-Amz-Function-Error": "Unhandled"},
            json.dumps({"errorType": kind, "errorMessage": "so it was"}).encode(),
        )
    ]
    with pytest.raises(FunctionEndedError, match="so it was") as caught:
        called(invoker)
    assert caught.value.kind == kind


def test_where_nobody_listens_it_is_repeated_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr("dolambda.aws.invoke._PATIENCE", 0.3)
    invoker = an_invoker(f"http://127.0.0.1:{port}")
    with pytest.raises(AwsError, match="Lambda cannot be reached"):
        called(invoker)
    invoker._reactor.close()
    with pytest.raises(AwsError, match="was closed"):
        called(invoker)


def test_credentials_that_cannot_be_refreshed_fail_their_calls_and_no_others(
    server: Server,
) -> None:
    class Expired:
        def __init__(self, good: Any) -> None:
            self.good = good
            self.expired = True

        def get_frozen_credentials(self) -> Any:
            if self.expired:
                raise RuntimeError("token has expired")
            return self.good.get_frozen_credentials()

    invoker = an_invoker(server.url)
    credentials = Expired(invoker._reactor._credentials)
    invoker._reactor._credentials = credentials
    with pytest.raises(AccessDeniedError, match="token has expired"):
        called(invoker)
    credentials.expired = False
    assert called(invoker) == b"{}"
    invoker._reactor.close()


def test_closing_answers_what_is_under_way(server: Server, invoker: Invoker) -> None:
    server.together = threading.Barrier(2)  # it comes alone
    future = sent(invoker)
    until(lambda: bool(server.seen))
    invoker._reactor.close()
    with pytest.raises(AwsError, match="was closed"):
        future.result(5)


def test_an_idle_connection_holds_nothing_of_the_last_request(
    invoker: Invoker, server: Server
) -> None:
    called(invoker, b"x" * 1000)

    def is_forgotten() -> bool:
        gc.collect()
        found = [one for one in gc.get_objects() if isinstance(one, Request)]
        return not [one for one in found if one.url.startswith(server.url)]  # not another test's

    until(is_forgotten)
    (line,) = invoker._reactor._idle["lambda", "POST"]
    assert (line.request, line.body, line.head) == (None, [], [])


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_call_whose_connection_ends_is_not_sent_again_by_itself(size: int) -> None:
    """libcurl would, when the connection had been used before: the function then ran twice,
    uncounted.
    """
    server, calls = Dropping(), RequestCounter()
    invoker = an_invoker(server.url, calls=calls)
    assert called(invoker, b"1" * size) == b"{}"
    with pytest.raises(UnknownOutcomeError):
        called(invoker, b"2" * size)
    invoker._reactor.close()
    server.close()
    assert server.payloads == [b"1" * size, b"2" * size]
    assert calls.totals()["lambda:InvokeFunction"] == 2
