"""Jobs that a worker must not run are answered with the reason, by both transports."""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.errors import AccessDeniedError
from dolambda.transport.direct import worker as direct
from dolambda.transport.queue import worker as queue
from dolambda.wire import envelope, keys
from dolambda.wire.job import Place
from dolambda.wire.reply import Reply
from dolambda.worker.worker import Worker
from support.worker_jobs import job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY, RUN = b"k" * 32, "client0000/000000"
HERE = Place("mine", "eu-west-1", "00")


class Store:
    """Objects in memory, as the worker's S3."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.held.get(key)

    def get_at_once(self, key: str) -> bytes | None:
        return self.held.get(key)

    def put_new(self, key: str, data: bytes) -> bool:
        self.held[key] = data
        return True

    def exists(self, key: str) -> bool:
        return key in self.held


@pytest.fixture
def worker() -> Iterator[Worker]:
    store: Any = Store()
    made = Worker(lambda: store, KEY, place=HERE)
    yield made
    made.close()


def by_queue(worker: Worker, sealed: bytes, name: str = keys.job_key(RUN, 0)) -> bytes:
    store: Any = Store()
    store.held[name] = sealed
    queue.answer({"Records": [{"s3": {"object": {"key": name}}}]}, worker, store, KEY, 60.0)
    return bytes(store.held[keys.reply_key(RUN, 0)])


def by_direct(worker: Worker, sealed: bytes) -> bytes:
    store: Any = Store()
    text = base64.b64encode(sealed).decode()
    event = {"dolambda": {"run": RUN, "number": 0, "job": text}}
    found = direct.answer(event, worker, lambda: store, lambda: store, KEY, 60.0)
    return base64.b64decode(found["reply"])


WAYS = pytest.mark.parametrize("way", [by_queue, by_direct])


def sealed_for(place: Place) -> bytes:
    sent = job((abs, (-1,)), run=RUN, deadline=time.time() + 600)
    return replace(sent, place=place).to_bytes(KEY)


@WAYS
@pytest.mark.parametrize(
    ("place", "named"),
    [
        (Place("other", "eu-west-1"), "stack 'other' in eu-west-1"),
        (Place("mine", "us-east-1"), "stack 'mine' in us-east-1"),
        (Place("mine", "eu-west-1", "01"), "function 01"),
    ],
)
def test_a_job_for_another_place_is_refused(
    worker: Worker, way: Callable[[Worker, bytes], bytes], place: Place, named: str
) -> None:
    reply = Reply.from_bytes(way(worker, sealed_for(place)), KEY)
    assert reply.refusal is not None
    assert reply.refusal.reason == "refused"
    assert named in reply.refusal.detail
    assert "this worker is stack 'mine' in eu-west-1" in reply.refusal.detail
    assert len(reply.outcomes) == 0


@WAYS
@pytest.mark.parametrize("place", [HERE, Place(), Place("mine")])
def test_a_job_for_this_place_or_for_none_runs(
    worker: Worker, way: Callable[[Worker, bytes], bytes], place: Place
) -> None:
    reply = Reply.from_bytes(way(worker, sealed_for(place)), KEY)
    assert reply.refusal is None
    assert [one.kind for one in reply.outcomes] == ["value"]


@pytest.mark.parametrize("spelled", ["queue", "queue, as then", "direct"])
def test_a_client_of_format_1_learns_that_the_versions_differ(worker: Worker, spelled: str) -> None:
    header = b'{"run":"r","kind":"job","format":1}'
    rest = len(header).to_bytes(4, "big") + header
    sealed = b"dlb1" + hmac.digest(KEY, rest, "sha256") + rest
    if spelled == "direct":
        answer = by_direct(worker, sealed)
    elif spelled == "queue":
        answer = by_queue(worker, sealed)
    else:
        answer = by_queue(worker, sealed, f"jobs/{RUN}/000000000")
    assert answer.startswith(b"dlb1")  # else that client would take it for somebody else's bytes
    reply = Reply.from_bytes(b"dlb2" + answer[4:], KEY)
    assert reply.refusal is not None
    assert "of format 1; this dolambda reads format 2" in reply.refusal.detail
    assert envelope.FORMAT == 2


def test_a_job_that_the_worker_may_not_read_is_answered_with_the_reason(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    class Denied(Store):
        def get(self, key: str) -> bytes | None:
            raise AccessDeniedError(f"GET {key} returned 403: kms:Decrypt", hint="Add it.")

    store: Any = Denied()
    name = keys.job_key(RUN, 0)
    queue.answer({"Records": [{"s3": {"object": {"key": name}}}]}, worker, store, KEY, 60.0)
    refusal = Reply.from_bytes(store.held[keys.reply_key(RUN, 0)], KEY).refusal
    assert refusal is not None
    assert "kms:Decrypt" in refusal.detail
    assert "Add it." in refusal.detail
    assert "kms:Decrypt" in capsys.readouterr().out
