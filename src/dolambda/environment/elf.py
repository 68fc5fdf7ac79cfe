"""Which shared libraries a program or library needs, read from the file, whatever it was made for.

**Input:** a 64-bit little-endian ELF file. **Output:** the names that its dynamic section lists.
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ENTRY = struct.Struct("<qQ")
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRINGS = 1, 5


class _Segment(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    size: int
    in_memory: int
    alignment: int


def needed_by(path: Path) -> list[str]:
    """Return the names of the libraries that a file needs; none for what is no such file."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _needed_by(data)


def _needed_by(data: mmap.mmap) -> list[str]:
    header = _HEADER.unpack_from(data)
    start, size, count = header[5], header[9], header[10]
    segments = [
        _Segment(*_SEGMENT.unpack_from(data, start + size * number)) for number in range(count)
    ]
    dynamic = next((segment for segment in segments if segment.kind == _DYNAMIC), None)
    if dynamic is None:
        return []
    entries = [
        _ENTRY.unpack_from(data, at)
        for at in range(dynamic.offset, dynamic.offset + dynamic.size, _ENTRY.size)
    ]
    strings = next(value for tag, value in entries if tag == _STRINGS)
    base = _offset_of(strings, segments)
    return [_text(data, base + value) for tag, value in entries if tag == _NEEDED]


def _offset_of(address: int, segments: list[_Segment]) -> int:
    """Return where in the file an address of the running program is."""
    for segment in segments:
        if segment.kind == _LOAD and 0 <= address - segment.address < segment.size:
            return segment.offset + address - segment.address
    raise ValueError(f"address {address:#x} is in no segment")


def _text(data: mmap.mmap, at: int) -> str:
    return data[at : data.find(b"\0", at)].decode()
