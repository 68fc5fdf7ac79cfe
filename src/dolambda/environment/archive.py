"""Zips that are the same, byte for byte, whenever and wherever they are made.

**Input:** names and content. **Output:** a zip.

Entries are sorted and carry neither time nor owner. So unchanged content has an unchanged digest,
and nothing is uploaded twice.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHEN = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold


def make_zip(entries: Mapping[str, bytes | Path], *, compress: bool = True) -> bytes:
    """Return a zip of contents, or files, under their names."""
    with io.BytesIO() as file:
        with zipfile.ZipFile(
            file, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED, compresslevel=6
        ) as archive:
            for name in sorted(entries):
                content = entries[name]
                executable = (
                    is_program(content)
                    if isinstance(content, bytes)
                    else content.stat().st_mode & 0o100
                )
                info = zipfile.ZipInfo(name, _WHEN)
                info.create_system = 3  # Unix, on every system
                info.external_attr = (0o100755 if executable else 0o100644) << 16
                info.compress_type = archive.compression
                archive.writestr(
                    info, content.read_bytes() if isinstance(content, Path) else content
                )
        return file.getvalue()


def is_program(content: bytes) -> bool:
    """Return whether content is a script or a program of Linux."""
    return content.startswith((b"#!", b"\x7fELF"))


def files_below(directory: Path, suffix: str = "") -> dict[str, bytes | Path]:
    """Return all files below a directory by their relative names, without caches."""
    return {
        path.relative_to(directory).as_posix(): path
        for path in directory.rglob(f"*{suffix}")
        if path.is_file() and "__pycache__" not in path.parts
    }


def digest_of_files(entries: Mapping[str, bytes | Path]) -> str:
    """Return a name for the content of a zip, without making the zip.

    It is the SHA-256 over names and contents, in order.
    """
    digest = hashlib.sha256()
    for name in sorted(entries):
        source = entries[name]
        content = source.read_bytes() if isinstance(source, Path) else source
        digest.update(f"{len(name)} {len(content)} {name}".encode())
        digest.update(content)
    return digest.hexdigest()


def digest_of(content: bytes) -> str:
    """Return the name of content: its SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
