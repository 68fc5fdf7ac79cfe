"""The gateway lets through what is signed and meant for it, and nothing that a web page could
send.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dolambda.local.emulator.gateway import HEALTH, Answer, Call, Gateway, Rule, proof

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = "127.0.0.1:4566"
SECRETS = {"KEY": "s3cr3t"}
HASH = "x-amz-content-sha256"


class Emulator:
    """Counts what reaches it, and answers with what web pages like."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        self.seen.append((scope["method"], scope["path"], body))
        cors = [(b"access-control-allow-origin", b"*"), (b"etag", b"x")]
        await send({"type": "http.response.start", "status": 200, "headers": cors})
        await send({"type": "http.response.body", "body": b"answer of ", "more_body": True})
        await send({"type": "http.response.body", "body": b"the emulator"})


def ask(
    emulator: Emulator,
    path: str = "/bucket/key",
    *,
    secret: str = "s3cr3t",  # noqa: S107 - a test's
    key: str = "KEY",
    body: Sequence[bytes] = (b"bo", b"dy"),
    query: str = "",
    more: dict[str, str] | None = None,
    rules: Sequence[Rule] = (),
) -> Answer:
    """Send a signed request through a gateway; headers in ``more`` are put in after it was
    signed.
    """
    request = AWSRequest("PUT", f"http://{HOST}{path}?{query}", data=b"".join(body))
    S3SigV4Auth(Credentials(key, secret), "s3", "us-east-1").add_auth(request)
    headers = {name.lower(): str(value) for name, value in request.headers.items()}
    headers = {"host": HOST, **headers, **(more or {})}
    scope = {
        "type": "http",
        "method": "PUT",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    parts = list(body)
    got: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        got.append(message)

    gateway = Gateway(emulator, HOST, "proof", lambda name, _token: SECRETS[name], rules)
    asyncio.run(gateway(scope, receive, send))
    return Answer(
        got[0]["status"],
        got[0]["headers"],
        b"".join(message["body"] for message in got[1:]),
    )


def test_what_is_signed_reaches_the_emulator_whole() -> None:
    emulator = Emulator()
    answer = ask(emulator)
    assert (answer.status, answer.body) == (200, b"answer of the emulator")
    assert emulator.seen == [("PUT", "/bucket/key", b"body")]
    assert answer.headers == [(b"etag", b"x")]  # no web page may read it


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "wrong"},
        {"key": "test", "secret": "test"},
        {"key": "000000000000", "secret": "test"},
        {"more": {"authorization": ""}},
        {"more": {"host": "attacker.example"}},
        {"more": {"host": "localhost:4566"}},
        {"more": {"origin": "http://attacker.example"}},
        {"more": {"origin": "null"}},
        {"more": {"access-control-request-method": "PUT"}},
        {"path": "/_ministack/reset"},
        {"path": "/_ministack/config"},
        {"path": "/_localstack/health"},
        {"path": "/_aws/sqs/messages"},
        {"query": "X-Amz-Credential=KEY/1/2/3/4"},
        {"more": {HASH: hashlib.sha256(b"another").hexdigest()}},
    ],
)
def test_all_else_does_not_reach_it(wrong: dict[str, Any]) -> None:
    emulator = Emulator()
    answer = ask(emulator, **wrong)
    assert answer.status == 403
    assert b"<Code>" in answer.body
    assert emulator.seen == []


def test_a_body_other_than_the_one_whose_hash_was_signed_is_refused() -> None:
    emulator = Emulator()
    request = AWSRequest("PUT", f"http://{HOST}/bucket/key", data=b"body")
    S3SigV4Auth(Credentials("KEY", "s3cr3t"), "s3", "us-east-1").add_auth(request)
    signed = {name.lower(): str(value) for name, value in request.headers.items()}
    answer = ask(emulator, body=(b"other",), more=signed)
    assert answer.status == 400
    assert b"XAmzContentSHA256Mismatch" in answer.body
    assert emulator.seen == []


def test_it_proves_that_it_knows_the_secret() -> None:
    answer = ask(Emulator(), HEALTH, query="challenge=1234", more={"authorization": ""})
    assert answer.status == 200
    assert proof("proof", "1234").encode() in answer.body
    assert proof("proof", "1234") != proof("other", "1234")


def test_rules_are_called_one_within_the_other() -> None:
    """As the strict AWS of the tests has them: one may answer itself, change the call, or change
    the answer.
    """
    emulator = Emulator()
    order: list[str] = []

    async def outer(call: Call, proceed: Any) -> Answer:
        order.append(f"{call.key} {call.service} {call.body.decode()}")
        answer: Answer = await proceed(call)
        answer.body += b", seen"
        return answer

    async def inner(call: Call, proceed: Any) -> Answer:
        order.append("inner")
        if call.path == "/bucket/slow":
            return Answer(503, [], b"SlowDown")
        call.body = b"changed"
        answer: Answer = await proceed(call)
        return answer

    assert ask(emulator, rules=[outer, inner]).body == b"answer of the emulator, seen"
    assert emulator.seen == [("PUT", "/bucket/key", b"changed")]
    refused = ask(emulator, "/bucket/slow", rules=[outer, inner])
    assert (refused.status, refused.body) == (503, b"SlowDown, seen")
    assert order == ["KEY s3 body", "inner"] * 2
    assert len(emulator.seen) == 1


def test_a_web_socket_is_closed() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    gateway = Gateway(Emulator(), HOST, "", lambda _key, _token: "")
    asyncio.run(gateway({"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
