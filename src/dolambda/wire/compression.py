"""Blobs made smaller for the wire. On entry: content; on leaving: content, or what becomes it; which of both, its digest tells.

Only what a sample promises to shrink is compressed: random floats do not, rounded ones halve, labels shrink to an eighth. With Zstandard
where both ends have it, else deflated. A blob's name is the digest of its plain content, so who fetches one needs no note of how it was
sent: bytes whose digest is another one are compressed ones, or forged.
"""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from typing import Any

LEAST, MOST = 16 * 1024, 1 << 30
_SAMPLES, _SAMPLE = 8, 16 * 1024
_PROMISING = 0.8
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1: how a frame begins


def has_zstd() -> bool:
    """Whether Zstandard is installed here."""
    return importlib.util.find_spec("zstandard") is not None


def packed(content: bytes | memoryview, *, zstd: bool) -> bytes | memoryview:
    """Give what is to be sent. ``zstd``: both ends have Zstandard."""
    if not LEAST <= len(content) <= MOST or not _promising(content):
        return content
    if zstd:
        zstandard: Any = importlib.import_module("zstandard")
        smaller: bytes = zstandard.ZstdCompressor(level=1).compress(content)
    else:
        smaller = zlib.compress(content, 1)
    return smaller if len(smaller) < _PROMISING * len(content) else content


def unpacked(sent: bytes | memoryview) -> bytes | None:
    """Give back what was `packed`; None for what was not."""
    try:
        if sent[:4] == _ZSTD:
            zstandard: Any = importlib.import_module("zstandard")
            plain: bytes = zstandard.ZstdDecompressor().decompress(sent, max_output_size=MOST)
        else:
            plain = zlib.decompressobj().decompress(sent, MOST)
    except Exception:  # noqa: BLE001 - of zlib or zstandard: it is neither
        return None
    return plain


def _promising(content: bytes | memoryview) -> bool:
    step = max(_SAMPLE, len(content) // _SAMPLES)
    some = b"".join(bytes(content[at : at + _SAMPLE]) for at in range(0, len(content), step))
    return len(zlib.compress(some, 1)) < _PROMISING * len(some)
