"""Shared libraries without code: all that they say is which others they need."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LOAD, _DYNAMIC, _NEEDED, _STRINGS = 1, 2, 1, 5


def write_library(path: Path, *needed: str) -> Path:
    """Write a library that needs others; return its path."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    start = 64 + 2 * 56  # behind the header and two segments
    offsets = [strings.index(b"\0" + name.encode() + b"\0") + 1 for name in needed]
    entries = [(_NEEDED, offset) for offset in offsets] + [(_STRINGS, 0x1000 + start), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    size = start + len(strings) + len(dynamic)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", _LOAD, 4, 0, 0x1000, 0x1000, size, size, 0x1000)
    at, length = start + len(strings), len(dynamic)
    there = struct.pack("<IIQQQQQQ", _DYNAMIC, 4, at, 0x1000 + at, 0x1000 + at, length, length, 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + load + there + strings + dynamic)
    return path
