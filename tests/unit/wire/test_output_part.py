from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dolambda.errors import EnvelopeError, SignatureError
from dolambda.wire import envelope, keys
from dolambda.wire.kept_output import LIMIT, with_note, without_note
from dolambda.wire.output_part import MAX_DATA, MAX_OBJECT, OutputPart

KEY = b"k" * 32
PART = OutputPart("client/000003", 12, 2, "abc123", 7, 0, 40, 100, b"line\n")


def test_a_part_comes_back_as_it_was_sent() -> None:
    assert OutputPart.from_bytes(PART.to_bytes(KEY), KEY, PART.key) == PART
    half = replace(PART, data="é".encode()[:1])  # a part may end within a character
    assert OutputPart.from_bytes(half.to_bytes(KEY), KEY, half.key).data == b"\xc3"


def test_the_largest_part_has_64_kb() -> None:
    noise = random.Random(0).randbytes(MAX_DATA)  # noqa: S311 - what cannot be deflated
    sealed = replace(PART, run="r" * 64 + "/000000", data=noise).to_bytes(KEY)
    assert MAX_DATA < len(sealed) <= MAX_OBJECT == 64 * 1024


@pytest.mark.parametrize(
    ("sealed", "error"),
    [
        (PART.to_bytes(b"x" * 32), SignatureError),
        (PART.to_bytes(KEY)[:-1] + b"!", SignatureError),
        (b"not signed", EnvelopeError),
        (envelope.seal("reply", {"run": "client/000003"}, [], KEY), SignatureError),
        (envelope.seal("output", {"run": "client/000003"}, [], KEY), EnvelopeError),
        (replace(PART, start=-1).to_bytes(KEY), EnvelopeError),
        (replace(PART, data=b"x" * (MAX_DATA + 1)).to_bytes(KEY), EnvelopeError),
    ],
)
def test_what_is_no_part_of_ours_is_refused(sealed: bytes, error: type[EnvelopeError]) -> None:
    with pytest.raises(error):
        OutputPart.from_bytes(sealed, KEY, PART.key)


@pytest.mark.parametrize(
    "other",
    [{"run": "client/000004"}, {"job": 13}, {"attempt": 1}, {"number": 8}, {"worker": "abc124"}],
)
def test_a_part_counts_only_where_it_belongs(other: dict[str, object]) -> None:
    place = replace(PART, **other).key  # type: ignore[arg-type] # of several types
    with pytest.raises(EnvelopeError, match="in the place of"):
        OutputPart.from_bytes(PART.to_bytes(KEY), KEY, place)


def test_keys_sort_as_the_parts_were_sent_and_are_no_replies() -> None:
    sent = [replace(PART, number=number) for number in (0, 9, 10, 100)]
    found = [part.key for part in sent]
    assert sorted(found) == found
    assert keys.parse_part_key(PART.run, PART.key) == (12, 2, "abc123", 7)
    assert keys.numbered(found, f"{keys.OUTS}{PART.run}/") == {}
    for key in (
        PART.key + "x",
        PART.key.replace("client", "other"),
        keys.reply_key(PART.run, 12),
        f"{keys.parts_prefix(PART.run)}{9}.1.a.1",
    ):
        assert keys.parse_part_key(PART.run, key) is None


def test_a_note_says_how_much_of_an_output_was_not_kept() -> None:
    assert with_note("all", 0) == "all"
    long = "x" * LIMIT
    assert without_note(with_note(long, 1234)) == (long, 1234)
    assert without_note(long) == (long, 0)
    printed = "\n... 12 bytes more were printed and are not shown\n"  # by the task itself
    assert without_note(printed) == (printed, 0)
