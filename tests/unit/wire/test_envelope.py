from __future__ import annotations

import hmac
import json
import os
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dolambda.errors import EnvelopeError, FormatError, SignatureError
from dolambda.wire import envelope

KEY = b"k" * 32


@given(st.dictionaries(st.text(), st.integers() | st.text()), st.lists(st.binary()))
def test_what_was_sealed_comes_out(header: dict[str, object], parts: list[bytes]) -> None:
    header = {**header, "kind": "job", "format": envelope.FORMAT}
    found, body = envelope.unseal("job", envelope.seal("job", header, parts, KEY), KEY)
    assert found == header
    assert bytes(body) == b"".join(parts)


@given(st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    sealed = bytearray(envelope.seal("job", {"run": "r"}, [b"body"], KEY))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EnvelopeError):
        envelope.unseal("job", bytes(sealed), KEY)


@given(st.binary())
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(EnvelopeError):
        envelope.unseal("job", garbage, KEY)


def test_another_key_is_refused() -> None:
    with pytest.raises(SignatureError, match="not signed with this stack's key"):
        envelope.unseal("job", envelope.seal("job", {}, [], KEY), b"x" * 32)


@pytest.mark.parametrize("kind", ["job", "reply"])
def test_the_key_that_signs_is_found_among_several_and_what_none_signs_is_refused(
    kind: str,
) -> None:
    keys = [KEY, b"x" * 32, b"y" * 32]
    for key in keys:
        assert envelope.key_of(envelope.seal(kind, {}, [b"body"], key), keys) == key
    for strange in (envelope.seal(kind, {}, [b"body"], b"z" * 32), b"", b"dlb2", b"garbage" * 20):
        with pytest.raises(EnvelopeError):
            envelope.unseal(kind, strange, envelope.key_of(strange, keys))


def test_the_part_of_a_header_that_many_share_comes_out_with_the_rest() -> None:
    common = envelope.encoded({"run": "r", "env": {}})
    sealed = envelope.seal("job", {"number": 1}, [b"body"], KEY, common)
    header, body = envelope.unseal("job", sealed, KEY)
    own = {"kind": "job", "format": envelope.FORMAT, "number": 1}
    assert (header, bytes(body)) == ({"run": "r", "env": {}, **own}, b"body")


def test_a_reply_does_not_pass_for_a_job() -> None:
    with pytest.raises(SignatureError, match="a reply in the place of a job"):
        envelope.unseal("job", envelope.seal("reply", {}, [], KEY), KEY)


def test_another_format_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "FORMAT", 3)
    later = envelope.seal("job", {}, [], KEY)
    monkeypatch.undo()
    with pytest.raises(
        FormatError, match=r"format 3; this dolambda reads format 2\n  .*dolambda deploy"
    ):
        envelope.unseal("job", later, KEY)


def format_1(kind: str, header: bytes, body: bytes = b"") -> bytes:
    """Sign as format 1 did."""
    head = header[:-1] + b',"kind":"%s","format":1}' % kind.encode()
    rest = len(head).to_bytes(4, "big") + head + body
    return b"dlb1" + hmac.digest(KEY, rest, "sha256") + rest


@pytest.mark.parametrize("kind", ["job", "reply"])
def test_what_format_1_wrote_is_told_apart(kind: str) -> None:
    sealed = format_1(kind, b'{"run":"r"')
    with pytest.raises(
        FormatError, match=r"of format 1; this dolambda reads format 2\n  .*dolambda deploy"
    ):
        envelope.unseal(kind, sealed, KEY)


def test_a_client_of_format_1_can_tell_a_refusal_from_garbage() -> None:
    sealed = envelope.readable_by_format_1(envelope.seal("reply", {}, [], KEY))
    signature, rest = sealed[4:36], sealed[36:]
    assert sealed[:4] == b"dlb1"
    assert hmac.digest(KEY, rest, "sha256") == signature
    assert json.loads(rest[4:])["format"] == 2


def test_header_is_json_and_needs_no_pickle() -> None:
    sealed = envelope.seal("job", {"run": "r"}, [b"body"], KEY)
    begin = 4 + 32 + 4
    length = int.from_bytes(sealed[begin - 4 : begin], "big")
    assert json.loads(sealed[begin : begin + length]) == {
        "run": "r",
        "kind": "job",
        "format": envelope.FORMAT,
    }


def test_bodies_that_repeat_themselves_travel_deflated_and_come_out_whole() -> None:
    parts = [b"the same arguments again, nearly: %d" % i for i in range(1000)]
    sealed = envelope.seal("job", {}, parts, KEY)
    assert len(sealed) < sum(map(len, parts)) / 4
    header, body = envelope.unseal("job", sealed, KEY)
    assert bytes(body) == b"".join(parts)
    assert header == {"kind": "job", "format": envelope.FORMAT}


@pytest.mark.parametrize(
    "body",
    [b"", b"short" * 10, os.urandom(100_000), bytes(5 << 20)],
    ids=["empty", "short", "random", "huge"],
)
def test_bodies_for_which_it_would_not_pay_travel_as_they_are(body: bytes) -> None:
    sealed = envelope.seal("job", {}, [body], KEY)
    assert sealed.endswith(body)
    assert bytes(envelope.unseal("job", sealed, KEY)[1]) == body


def signed(header: bytes, body: bytes = b"") -> bytes:
    """Sign what `seal` would not make."""
    rest = len(header).to_bytes(4, "big") + header + body
    return b"dlb2" + hmac.digest(KEY, rest, "sha256") + rest


@pytest.mark.parametrize("nested", [b"[" * 100_000, b'{"a":' * 100_000])
def test_a_signed_header_that_is_nested_too_deeply_is_refused(nested: bytes) -> None:
    with (
        pytest.raises(EnvelopeError, match="a signed job with a malformed header"),
        envelope.making_sense("job"),
    ):
        envelope.unseal("job", signed(nested), KEY)


@pytest.mark.parametrize("size", [3_000, 50_000_000])
def test_a_signed_body_that_becomes_another_size_than_it_says_is_refused(size: int) -> None:
    header = {"kind": "job", "format": envelope.FORMAT, "deflated": 5_000}
    sealed = signed(json.dumps(header).encode(), zlib.compress(bytes(size)))
    tracemalloc.start()
    try:
        with pytest.raises(EnvelopeError), envelope.making_sense("job"):
            envelope.unseal("job", sealed, KEY)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_signed_header_with_something_behind_it_is_refused() -> None:
    header = b'{"kind": "job", "format": %d}' % envelope.FORMAT
    assert envelope.unseal("job", signed(header), KEY)[0]
    with pytest.raises(EnvelopeError, match="malformed"), envelope.making_sense("job"):
        envelope.unseal("job", signed(header + b" {}"), KEY)
