"""Bytes and events that anyone may have written: nothing but the documented errors, and nothing
unpickled.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dolambda.errors import EnvelopeError
from dolambda.transport.direct import worker as direct
from dolambda.transport.queue import worker as queue
from dolambda.wire import envelope, keys
from dolambda.wire.job import Job
from dolambda.wire.outcome import PackedOutcome
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.output_part import OutputPart
from dolambda.wire.reply import Reply
from dolambda.worker.worker import Worker
from support.worker_jobs import job

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = b"k" * 32


@cache
def a_job() -> bytes:
    sent = job((len, ("abc",)), (len, (b"x" * 500,)), run="client/000000", number=7)
    return replace(sent, deadline=time.time() + 1e6).to_bytes(KEY)


@cache
def a_reply() -> bytes:
    outcomes = [
        PackedOutcome.from_value(0, [1, 2, 3], 0.1),
        PackedOutcome.from_value(1, b"y" * 500, 0.1),
    ]
    table = OutcomeTable.from_outcomes(outcomes)
    return Reply("client/000000", 7, 1, table).to_bytes(KEY)


A_PART = OutputPart("client/000000", 7, 1, "abc123", 0, 0, 3, 0, b"printed\n" * 500)


KINDS = [
    pytest.param(Job.from_bytes, a_job, id="job"),
    pytest.param(Reply.from_bytes, a_reply, id="reply"),
    pytest.param(
        lambda data, key: OutputPart.from_bytes(data, key, A_PART.key),
        lambda: A_PART.to_bytes(KEY),
        id="output",
    ),
]


@pytest.mark.parametrize(("read", "written"), KINDS)
@given(data=st.data())
def test_mutated_bytes_are_refused(
    read: Callable[[bytes, bytes], object], written: Callable[[], bytes], data: st.DataObject
) -> None:
    sealed = bytearray(written())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(sealed)))
        match data.draw(st.sampled_from(["change", "insert", "cut", "repeat"])):
            case "change":
                sealed[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
            case "insert":
                sealed[at:at] = data.draw(st.binary(max_size=20))
            case "cut":
                del sealed[at : at + data.draw(st.integers(1, 200))]
            case _:
                sealed[at:at] = sealed[: data.draw(st.integers(0, 100))]
    if bytes(sealed) != written():
        with pytest.raises(EnvelopeError):
            read(bytes(sealed), KEY)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("read", "kind"), [(Job.from_bytes, "job"), (Reply.from_bytes, "reply")])
@given(
    header=st.dictionaries(
        st.sampled_from(
            [
                *("run", "job", "attempt", "parts", "outcomes", "usage", "blobs", "inline"),
                *("deflated", "refusal", "place", "context", "nonce", "language"),
            ]
        ),
        JSON,
    )
)
def test_a_signed_header_that_makes_no_sense_raises_nothing_else(
    read: Callable[[bytes, bytes], object], kind: str, header: dict[str, Any]
) -> None:
    """Whoever has the key may run another version, or have a defect: then it must be told by
    name.
    """
    with contextlib.suppress(EnvelopeError):
        read(envelope.seal(kind, header, [b"body"], KEY), KEY)


class Store:
    """A bucket in which nothing is but what a test has put there."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = objects or {}
        self.written: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def exists(self, key: str) -> bool:
        return key in self.objects

    def put_new(self, key: str, data: bytes) -> bool:
        self.written[key] = data
        return True

    def get_blob(self, digest: str) -> bytes:
        raise EnvelopeError(f"there is no blob {digest}")

    def calls(self) -> dict[str, int]:
        return {}


def respond(event: Any, store: Any) -> object:
    """As `handler.handler` does, with a worker that has no child: nothing here gets as far as
    that.
    """
    worker = Worker(lambda: store, KEY)
    if direct.recognises(event):
        return direct.answer(event, worker, lambda: store, lambda: store, KEY, 10.0)
    if queue.recognises(event):
        return queue.answer(event, worker, store, KEY, 10.0)
    return "no event of dolambda's"


PART = st.dictionaries(
    st.sampled_from(["run", "number", "job", "at"]),
    JSON | st.just("client/000000") | st.just(7),
    max_size=4,
)
RECORD = st.dictionaries(
    st.sampled_from(["s3", "object", "key"]),
    JSON | st.fixed_dictionaries({"object": JSON | st.fixed_dictionaries({"key": JSON})}),
)


@given(
    JSON
    | st.fixed_dictionaries({"dolambda": PART | JSON})
    | st.fixed_dictionaries({"Records": JSON | st.lists(RECORD | JSON, max_size=3)})
)
def test_any_event_is_answered(event: Any) -> None:
    assert json.loads(json.dumps(respond(event, Store()))) is not None


@given(st.binary(max_size=300))
def test_an_object_that_is_no_job_is_refused_in_a_sealed_reply(content: bytes) -> None:
    assume(not content.startswith(b"dlb1"))  # format 1, whose clients get a reply in their format
    store = Store({keys.job_key("client/000000", 7): content})
    event = {"Records": [{"s3": {"object": {"key": keys.job_key("client/000000", 7)}}}]}
    assert respond(event, store) == ["answered"]
    reply = Reply.from_bytes(store.written[keys.reply_key("client/000000", 7)], KEY)
    assert reply.refusal
    assert reply.refusal.reason == "refused"
