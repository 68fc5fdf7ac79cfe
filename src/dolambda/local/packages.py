r"""The installed packages, laid out once for the workers of all emulated AWSs.

**Input:** `Contents`, as for AWS. **Output:** the same contents, without any zipping or uploading:
each zip only names its content, which the emulator finds in the cache.

    site-packages --> layers, bundle --digest--> cache/packages-<digest>/ <-- /opt of each worker
                                \\--> a zip with that digest --> PublishLayerVersion, PutObject
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.environment.archive import digest_of_files, is_program
from dolambda.environment.layer import Archive
from dolambda.local.cache import DIGESTS, LIMIT
from dolambda.local.emulator import entries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dolambda.environment.layer import Contents

NAMING = "dolambda-digest"
"""The only file of a zip that names its content, see emulator/launcher.py."""

# A file as young as this may change again within one tick of its clock.
_SETTLED_NS = 2_000_000_000
_DIGESTS_DAYS = 60
_UNCHECKED = (0b01).to_bytes(4, "little") + bytes(8)  # PEP 552: never compared with the source
_HEADER = 16
_LARGE = 1 << 20

_held: dict[Path, int] = {}
"""Locks of the entries that this process uses, held until it ends."""


class _Naming(Archive):
    """An archive whose zip only names its content."""

    def __init__(self, archive: Archive, digest: str) -> None:
        super().__init__(archive.packages, {NAMING: digest.encode()}, archive.size, compress=False)
        self.digest = digest


def laid_out(contents: Contents, cache: Path) -> Contents:
    """Lay out the contents of workers in the cache, unless they are there.

    Return what names them.
    """
    layers = tuple(_Naming(one, _digest(one.entries, cache)) for one in contents.layers)
    bundle = contents.bundle and _Naming(contents.bundle, _digest(contents.bundle.entries, cache))
    made = _provide(cache, layers, contents.layers)
    if bundle and contents.bundle:
        made |= _provide(cache, (bundle,), (contents.bundle,))
    if made:
        threading.Thread(target=_prune, args=(cache,), name="dolambda-cache", daemon=True).start()
    return replace(contents, layers=layers, bundle=bundle)


def _provide(cache: Path, named: Sequence[Archive], archives: Sequence[Archive]) -> bool:
    """Hold the entry of some archives. Return whether it had to be made."""
    if not named:
        return False
    name = entries.packages_name(one.digest for one in named)

    merged = {place: file for one in archives for place, file in one.entries.items()}

    place, lock, made = entries.find_or_make(cache, name, lambda part: _lay_out(merged, part))
    if place in _held:
        os.close(lock)
    else:
        _held[place] = lock
    return made


def _lay_out(files: Mapping[str, bytes | Path], target: Path) -> None:
    """Copy files to where a zip of them would be unpacked, with the locally valid bytecode.

    All of them are read-only afterwards.
    """
    known: set[str] = set()
    for name in sorted(files):
        source = files[name]
        goal = f"{target}/{name}"
        parent, _, last = goal.rpartition("/")
        if parent not in known:
            os.makedirs(parent, exist_ok=True)  # noqa: PTH103 - ten thousand files
            known.add(parent)
        if isinstance(source, bytes):
            _write(goal, source, 0o555 if is_program(source) else 0o444)
            continue
        _copy(source, goal)
        bytecode = _bytecode(source) if last.endswith(".py") else None
        if bytecode:
            caches = f"{parent}/__pycache__"
            if caches not in known:
                os.makedirs(caches, exist_ok=True)  # noqa: PTH103 - tens of thousands of files
                known.add(caches)
            tag = sys.implementation.cache_tag
            _write(f"{caches}/{last.removesuffix('.py')}.{tag}.pyc", bytecode, 0o444)


def _copy(source: Path, goal: str) -> None:
    with source.open("rb", buffering=0) as file:
        found = os.fstat(file.fileno())
        mode = 0o555 if found.st_mode & 0o100 else 0o444
        if found.st_size < _LARGE:
            _write(goal, file.readall(), mode)
            return
        with open(goal, "xb", opener=_opener(mode)) as copy:
            with contextlib.suppress(AttributeError, OSError):
                # Not on macOS, nor between all disks.
                while os.copy_file_range(file.fileno(), copy.fileno(), found.st_size):
                    pass
            while part := file.read(_LARGE):
                copy.write(part)


def _write(goal: str, content: bytes, mode: int) -> None:
    with open(goal, "xb", opener=_opener(mode)) as file:
        file.write(content)


def _opener(mode: int) -> Callable[[str, int], int]:
    return lambda path, flags: os.open(path, flags, mode)


def _bytecode(source: Path) -> bytes | None:
    """Return a module's bytecode in a form that is not compared with its source.

    Return None if the local bytecode is missing or outdated.
    """
    try:
        content = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        found = source.stat()
    except (OSError, NotImplementedError):
        return None
    seen = int(found.st_mtime).to_bytes(8, "little")[:4] + found.st_size.to_bytes(8, "little")[:4]
    if content[:_HEADER] != importlib.util.MAGIC_NUMBER + bytes(4) + seen:
        return None
    return importlib.util.MAGIC_NUMBER + _UNCHECKED + content[_HEADER:]


def _digest(files: Mapping[str, bytes | Path], cache: Path) -> str:
    """Return `digest_of_files`.

    The files are not read if size and time of all are as they were when the digest was last
    computed.
    """
    looks, settled = _looks(files)
    memo = cache / DIGESTS / looks
    with contextlib.suppress(OSError):
        found = memo.read_text(encoding="ascii")
        if len(found) == len(looks):
            os.utime(memo)
            return found
    digest = digest_of_files(files)
    if settled and _looks(files)[0] == looks:
        part = memo.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        # A full disk: the digest is computed again the next time.
        with contextlib.suppress(OSError):
            part.write_text(digest, encoding="ascii")
            part.replace(memo)
    return digest


def _looks(files: Mapping[str, bytes | Path]) -> tuple[str, bool]:
    """Return a name for sizes and times of files, and whether all have been unchanged for a while.

    Any change of a file changes its ctime.
    """
    digest = hashlib.sha256()
    latest = 0
    for name in sorted(files):
        source = files[name]
        if isinstance(source, bytes):
            digest.update(f"{name}\0{len(source)}\0".encode() + source)
            continue
        found = os.stat(source)  # noqa: PTH116 - ten thousand files
        looks = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        digest.update(f"{name}\0{source}\0{looks}\0".encode())
        latest = max(latest, found.st_ctime_ns)
    return digest.hexdigest(), time.time_ns() - latest > _SETTLED_NS


def _prune(cache: Path) -> None:
    with contextlib.suppress(OSError):  # the next call tries again to remove what is left
        entries.prune(cache, LIMIT)
        for memo in (cache / DIGESTS).iterdir():
            if time.time() - memo.stat().st_mtime > _DIGESTS_DAYS * 86_400:
                memo.unlink()
