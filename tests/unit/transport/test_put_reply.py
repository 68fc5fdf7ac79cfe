"""A reply that takes longer than the invocation has left is reported by a short one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from dolambda.aws.request_counter import RequestCounter
from dolambda.aws.signed_s3 import SignedS3
from dolambda.errors import AccessDeniedError
from dolambda.transport.put_reply import put_reply
from dolambda.wire.outcome import NOT_STARTED
from dolambda.wire.reply import Reply
from support.slow_line import SlowLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.http_server import Server

KEY, RUN = b"k" * 32, "client0000/000000"


@pytest.fixture
def line() -> Iterator[SlowLine]:
    made = SlowLine()
    yield made
    made.close()


@contextmanager
def s3_at(url: str) -> Iterator[SignedS3]:
    environ = {"AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    s3 = SignedS3("b", environ | {"AWS_ENDPOINT_URL": url}, RequestCounter())
    yield s3
    s3.close()


def test_the_client_hears_of_a_reply_that_came_too_late_to_be_sent(line: SlowLine) -> None:
    with s3_at(line.url) as s3:
        s3.begin_invocation(2.5)
        assert put_reply(s3, RUN, 7, b"x" * (64 << 20), KEY)
    (told,) = line.taken
    reply = Reply.from_bytes(told, KEY)
    assert (reply.run, reply.number, len(reply.outcomes)) == (RUN, 7, 0)
    assert reply.refusal is not None
    assert reply.refusal.reason == NOT_STARTED
    assert "reply of 64.0 MB could not be stored" in reply.refusal.detail


def test_a_denial_is_raised_and_nothing_else_written(server: Server) -> None:
    server.answers = [(403, {}, b"<Code>AccessDenied</Code>")]
    with s3_at(server.url) as s3:
        s3.begin_invocation(1.2)
        with pytest.raises(AccessDeniedError):
            put_reply(s3, RUN, 7, b"a reply", KEY)
    assert {body for _, _, body in server.seen} == {b"a reply"}


def test_a_reply_that_is_there_already_stays(server: Server) -> None:
    server.answers = [(412, {}, b"")]
    with s3_at(server.url) as s3:
        assert put_reply(s3, RUN, 7, b"a reply", KEY) is False
