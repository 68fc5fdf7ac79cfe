"""HTTP/1.1, as much of it as the clients here speak.

On entry: bytes; on leaving: a `Request` to a handler, and its `Answer` as bytes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Callable

_END = b"\r\n\r\n"
_PHRASES = {
    100: "Continue",
    200: "OK",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    412: "Precondition Failed",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(slots=True)
class Request:
    verb: str
    path: str
    query: dict[str, str]
    head: bytes
    """All headers, in small letters."""
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The value of a header, in small letters; ``name`` too."""
        return _value(self.head, name)


@dataclass(slots=True)
class Answer:
    status: int
    body: bytes = b""
    headers: tuple[str, ...] = ()
    delay: float = 0.0
    cut: bool = False
    """End the connection in the middle of the body."""
    length: int | None = field(default=None)
    """What HEAD tells of a body that it does not send."""


class Connection(asyncio.Protocol):
    """One client's connection: one request at a time, as no client here pipelines."""

    def __init__(
        self, handle: Callable[[Request, Callable[[Answer], None]], None], open_now: set[Connection]
    ) -> None:
        self._handle = handle
        self._open = open_now
        self._buffer = bytearray()
        self._head: bytes | None = None
        self._length = 0
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._head is None:
            end = self._buffer.find(_END)
            if end < 0:
                return
            self._head = bytes(self._buffer[:end])
            del self._buffer[: end + 4]
            small = self._head.lower()
            self._length = int(_value(small, b"content-length") or 0)
            if len(self._buffer) < self._length and _value(small, b"expect"):
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(self._buffer) < self._length:
            return
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        head, self._head = self._head, None
        line = head[: head.find(b"\r\n")].decode("latin-1")
        verb, target, _ = line.split(" ")
        path, _, query = target.partition("?")
        if path.startswith("http"):  # a proxy's spelling
            path = "/" + path.split("/", 3)[3]
        self._handle(
            Request(
                verb,
                unquote(path),
                dict(parse_qsl(query, keep_blank_values=True)),
                head.lower(),
                body,
            ),
            self._answer,
        )

    def _answer(self, answer: Answer) -> None:
        if answer.delay > 0:
            self._loop.call_later(answer.delay, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: Answer) -> None:
        if self._transport.is_closing():
            return
        length = len(answer.body) if answer.length is None else answer.length
        extra = "".join(f"{line}\r\n" for line in answer.headers)
        head = (
            f"HTTP/1.1 {answer.status} {_PHRASES[answer.status]}\r\nContent-Length: "
            f"{length}\r\n{extra}\r\n"
        ).encode()
        if answer.cut:
            self._transport.write(head + answer.body[: len(answer.body) // 2])
            self._transport.close()
        else:
            self._transport.write(head + answer.body)


def _value(head: bytes, name: bytes) -> bytes | None:
    begin = head.find(b"\r\n" + name + b":")
    if begin < 0:
        return None
    begin += len(name) + 3
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else None].strip()
