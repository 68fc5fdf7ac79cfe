"""Compression of blobs.

**Input:** content. **Output:** the content, or a compressed form of it. The digest shows which.

Content is compressed only if a sample shrinks. Random floats do not shrink, rounded ones shrink to
half, labels to an eighth. The method is Zstandard if both ends have it, otherwise deflate. The name
of a blob is the digest of its plain content, so a reader needs no note of how it was sent: bytes
with another digest are either compressed or forged.
"""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST, MOST = 16 * 1024, 1 << 30
_SAMPLES, _SAMPLE = 8, 16 * 1024
_PROMISING = 0.8
_FED, _PIECE = 1 << 16, 1 << 20  # bytes that zlib gets and returns at a time
_WINDOW = 1 << 23  # bytes that zstd keeps in addition to its output; level 1 needs half a MiB
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1: the beginning of a frame


def has_zstd() -> bool:
    """Return whether Zstandard is installed locally."""
    return importlib.util.find_spec("zstandard") is not None


def packed(content: bytes | memoryview, *, zstd: bool) -> bytes | memoryview:
    """Return the bytes to send. ``zstd`` is True if both ends have Zstandard."""
    if not LEAST <= len(content) <= MOST or not _promising(content):
        return content
    if zstd:
        zstandard: Any = importlib.import_module("zstandard")
        smaller: bytes = zstandard.ZstdCompressor(level=1).compress(content)
    else:
        smaller = zlib.compress(content, 1)
    return smaller if len(smaller) < _PROMISING * len(content) else content


def unpacked(sent: bytes | memoryview, most: int = MOST) -> memoryview | None:
    """Return what was `packed`, read-only.

    The content is built piece by piece in one buffer, which never holds more than ``most`` bytes.

    Returns:
        The content, or None if ``sent`` was not packed or unpacks to more than ``most`` bytes.
    """
    plain = bytearray()
    try:
        for piece in _zstd_pieces(sent, most) if sent[:4] == _ZSTD else _zlib_pieces(sent):
            if len(plain) + len(piece) > most:
                return None
            plain += piece
    except Exception:  # noqa: BLE001 - any error of zlib or zstandard: the bytes are neither
        return None
    return memoryview(plain).toreadonly()


def _zstd_pieces(sent: bytes | memoryview, most: int) -> Iterator[bytes]:
    """Decompress one frame. A frame that declares more than ``most`` bytes is refused at once."""
    zstandard: Any = importlib.import_module("zstandard")
    if zstandard.frame_content_size(sent) > most:
        raise ValueError("a frame that declares too large a size")
    with zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(sent) as reader:
        while piece := reader.read(_PIECE):
            yield piece


def _zlib_pieces(sent: bytes | memoryview) -> Iterator[bytes]:
    unpacker, view = zlib.decompressobj(), memoryview(sent)
    for at in range(0, len(view), _FED):
        left: bytes | memoryview = view[at : at + _FED]
        while piece := unpacker.decompress(left, _PIECE):
            yield piece
            left = unpacker.unconsumed_tail


def _promising(content: bytes | memoryview) -> bool:
    step = max(_SAMPLE, len(content) // _SAMPLES)
    some = b"".join(bytes(content[at : at + _SAMPLE]) for at in range(0, len(content), step))
    return len(zlib.compress(some, 1)) < _PROMISING * len(some)
