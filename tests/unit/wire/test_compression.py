"""Blobs made smaller for the wire, and told from plain ones by their digests alone."""

from __future__ import annotations

import io
import os
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from dolambda.errors import EnvelopeError
from dolambda.wire.blob import Blob
from dolambda.wire.compression import packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = b"".join(bytes([i % 3]) * 5 for i in range(40_000))


@pytest.mark.parametrize("zstd", [True, False])
def test_what_compresses_is_sent_smaller_and_is_itself_again(zstd: bool) -> None:
    sent = packed(LABELS, zstd=zstd)
    assert len(sent) < len(LABELS) / 5
    assert Blob.from_store(Blob.from_bytes(LABELS).digest, sent).data == LABELS


@pytest.mark.parametrize("content", [os.urandom(300_000), b"a" * 100], ids=["random", "small"])
def test_what_gains_nothing_is_sent_as_it_is(content: bytes) -> None:
    assert packed(content, zstd=True) is content


@settings(deadline=None, max_examples=50)
@given(content=st.binary(max_size=200), times=st.integers(1, 2000), zstd=st.booleans())
def test_any_content_comes_back(content: bytes, times: int, zstd: bool) -> None:
    content *= times
    assert (
        Blob.from_store(Blob.from_bytes(content).digest, packed(content, zstd=zstd)).data == content
    )


def test_content_that_looks_compressed_is_taken_as_it_is() -> None:
    content = zlib.compress(LABELS)
    assert Blob.from_store(Blob.from_bytes(content).digest, content).data == content


@pytest.mark.parametrize(
    "sent", [b"", b"\x28\xb5\x2f\xfdforged", zlib.compress(b"another"), b"x" * 100]
)
def test_what_neither_is_nor_becomes_the_content_is_refused(sent: bytes) -> None:
    with pytest.raises(EnvelopeError, match="does not match its name"):
        Blob.from_store(Blob.from_bytes(LABELS).digest, sent)


def zstd_without_a_size(content: bytes) -> bytes:
    with io.BytesIO() as file:
        with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as writer:
            writer.write(content)
        return file.getvalue()


MiB = 1 << 20


@pytest.mark.parametrize(
    "pack",
    [zlib.compress, zstandard.compress, zstd_without_a_size],
    ids=["zlib", "zstd", "zstd, size not stated"],
)
def test_what_becomes_too_much_is_refused_before_it_is_made(
    pack: Callable[[bytes], bytes],
) -> None:
    bomb, whole = pack(bytes(64 * MiB)), pack(bytes(8 * MiB))
    tracemalloc.start()
    try:
        assert unpacked(bomb, 8 * MiB) is None
        assert bytes(unpacked(whole, 8 * MiB) or b"") == bytes(8 * MiB)
        assert tracemalloc.get_traced_memory()[1] < 30 * MiB
    finally:
        tracemalloc.stop()


def test_a_blob_that_says_it_is_larger_than_any_is_refused() -> None:
    unpacker = zstandard.ZstdCompressor().compressobj(size=2 << 30)
    bomb = unpacker.compress(bytes(MiB)) + unpacker.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    with pytest.raises(EnvelopeError, match="does not match its name"):
        Blob.from_store("0" * 64, bomb)
