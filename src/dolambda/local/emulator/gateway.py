"""The only entrance to the emulated AWS: an ASGI application in front of the emulator's own.

**Input:** HTTP requests, over connections of this user's processes (`peers`). **Output:** the
emulator's replies to requests that are signed with a key made in it, refusals of all others.

    request -> Host, Origin, path -> signature -> rules, one within the other -> emulator

A rule is a function of a call and of the next rule, as in the tests' strict AWS. It may refuse the
call, delay it, or change it or its reply. Without rules, replies are streamed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from .sigv4 import Claim, RefusedError, claim_of, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

HEALTH = "/_ministack/health"
_CHALLENGE = "challenge="
_FORBIDDEN, _OK, _BAD_REQUEST = 403, 200, 400
_UNHASHED = ("UNSIGNED-PAYLOAD", "STREAMING-")  # values that S3 accepts for the hash of a body


@dataclass
class Call:
    """A request whose signature by ``key`` was verified.

    A rule may change it before it passes it on.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes = field(repr=False)
    service: str
    key: str


@dataclass
class Answer:
    """The reply to the caller."""

    status: int
    headers: Headers
    body: bytes = field(repr=False)


Proceed = Callable[[Call], Awaitable[Answer]]
Rule = Callable[[Call, Proceed], Awaitable[Answer]]
SecretOf = Callable[[str, str], str]
"""Return the secret of a key that comes with a session token, or none. Raises KeyError or
`RefusedError`.
"""


def proof(secret: str, challenge: str) -> str:
    """Return the reply to a challenge that only a server with the secret can compute."""
    return hmac.new(secret.encode(), challenge.encode(), hashlib.sha256).hexdigest()


class Gateway:
    """The application that the module describes."""

    def __init__(
        self, app: App, authority: str, secret: str, secret_of: SecretOf, rules: Sequence[Rule] = ()
    ) -> None:
        """Create the application.

        Args:
            app: The emulator's application.
            authority: The Host of requests for this server.
            secret: The secret with which the server proves its identity.
            secret_of: Returns the secret of a key.
            rules: The rules, the outermost first.
        """
        self._app = app
        self._authority = authority
        self._secret = secret
        self._secret_of = secret_of
        self._rules = tuple(rules)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = [
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in scope["headers"]
        ]
        query = scope.get("query_string", b"").decode("latin-1")
        try:
            self._refuse_strangers(scope["path"], headers)
            if scope["path"] == HEALTH:
                await _answer(send, self._health(query))
                return
            claim, body = await self._authenticated(scope, headers, query, receive)
        except RefusedError as error:
            await _answer(send, refusal(error, scope["method"]))
            return
        if self._rules:
            call = Call(
                scope["method"],
                scope["raw_path"].decode("latin-1"),
                query,
                list(scope["headers"]),
                b"".join(body),
                claim.service,
                claim.key,
            )
            await _answer(send, await self._through_rules(scope, call))
        else:
            await self._app(scope, _replay(body, receive), _without_cors(send))

    def _refuse_strangers(self, path: str, headers: list[tuple[str, str]]) -> None:
        """Refuse requests that a web page could send, and those that administer the emulator."""
        hosts = [value for name, value in headers if name == "host"]
        if hosts != [self._authority]:
            raise RefusedError("s3", "missing", f"This is {self._authority}, not {hosts}")
        if any(name == "origin" or name.startswith("access-control-") for name, _ in headers):
            raise RefusedError("s3", "missing", "Web pages are not served")
        if path.startswith("/_") and path != HEALTH:
            raise RefusedError("s3", "missing", "The emulator is not administered from outside")

    def _health(self, query: str) -> Answer:
        challenge = query.removeprefix(_CHALLENGE) if query.startswith(_CHALLENGE) else ""
        body = json.dumps({"proof": proof(self._secret, challenge)}).encode()
        return Answer(_OK, [(b"content-type", b"application/json")], body)

    async def _authenticated(
        self, scope: Message, headers: list[tuple[str, str]], query: str, receive: Receive
    ) -> tuple[Claim, list[bytes]]:
        """Return the request's signer, and its body.

        Raises:
            RefusedError: The request is not signed correctly.
        """
        claim = claim_of(headers, query)
        named = dict(headers)
        try:
            secret = self._secret_of(claim.key, named.get("x-amz-security-token", ""))
        except KeyError:
            text = "The security token included in the request is invalid."
            raise RefusedError(claim.service, "key", text) from None
        target = (scope["raw_path"].decode("latin-1"), query)
        said = named.get("x-amz-content-sha256")
        if said is not None:  # the body of a stranger need not be read then
            verify(claim, secret, scope["method"], target, headers, said)
        body, digest = await _read(receive)
        if said is None:
            verify(claim, secret, scope["method"], target, headers, digest)
        elif said != digest and not said.startswith(_UNHASHED):
            text = "The provided 'x-amz-content-sha256' header does not match what was computed."
            raise RefusedError(claim.service, "body", text)
        return claim, body

    async def _through_rules(self, scope: Message, call: Call) -> Answer:
        async def emulate(final: Call) -> Answer:
            made: dict[str, Any] = {"body": []}

            async def collect(message: Message) -> None:
                if message["type"] == "http.response.start":
                    made.update(message)
                else:
                    made["body"].append(message.get("body", b""))

            changed = {
                **scope,
                "method": final.method,
                "path": scope["path"] if final.path == call.path else final.path,
                "raw_path": final.path.encode("latin-1"),
                "query_string": final.query.encode("latin-1"),
                "headers": final.headers,
            }
            await self._app(changed, _replay([final.body], _gone), _without_cors(collect))
            return Answer(made["status"], list(made["headers"]), b"".join(made["body"]))

        proceed: Proceed = emulate
        for rule in reversed(self._rules):
            proceed = _within(rule, proceed)
        return await proceed(call)


def _within(rule: Rule, after: Proceed) -> Proceed:
    async def proceed(call: Call) -> Answer:
        return await rule(call, after)

    return proceed


async def _gone() -> Message:
    return {"type": "http.disconnect"}


async def _read(receive: Receive) -> tuple[list[bytes], str]:
    """Return a body in its parts, and its hash."""
    parts, digest, more = [], hashlib.sha256(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError("s3", "body", "The request ended before its body")
        part = message.get("body", b"")
        digest.update(part)
        parts.append(part)
        more = message.get("more_body", False)
    return parts, digest.hexdigest()


def _replay(body: list[bytes], after: Receive) -> Receive:
    """Return a function that provides a body which has been read already, without copying it."""
    left = body[::-1]

    async def receive() -> Message:
        if not left:
            return await after()
        part = left.pop()
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    return receive


def _without_cors(send: Send) -> Send:
    """Return a ``send`` whose replies no web page can read."""

    async def filtered(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {
                **message,
                "headers": [
                    (name, value)
                    for name, value in message["headers"]
                    if not name.lower().startswith(b"access-control-")
                ],
            }
        await send(message)

    return filtered


async def _answer(send: Send, answer: Answer) -> None:
    headers = answer.headers
    if not any(name.lower() == b"content-length" for name, _ in headers):
        headers = [*headers, (b"content-length", str(len(answer.body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def refusal(error: RefusedError, method: str) -> Answer:
    """Return a refusal in the words of the service."""
    status = _BAD_REQUEST if error.reason == "body" else _FORBIDDEN
    code, text = error.code, escape(str(error))
    if error.service == "s3":
        body = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
    elif error.service in ("iam", "sts"):
        inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
        body = f"<ErrorResponse>{inner}</ErrorResponse>"
    else:
        headers = [(b"content-type", b"application/json"), (b"x-amzn-errortype", code.encode())]
        body = json.dumps({"__type": code, "message": str(error)})
        return Answer(status, headers, body.encode())
    head = b"" if method == "HEAD" else body.encode()
    return Answer(status, [(b"content-type", b"application/xml")], head)
