"""Directories in a cache that several processes share. Each is made once, and then only read.

    <root>/
        <name>/        an entry
        <name>.lock    its lock: shared among the users of the entry, exclusive while it is made or
                       removed. Its time is that of the last use, its text the entry's size

**Input:** a root that only this user can write to, a name, and a function that makes the entry.
**Output:** the entry's directory, and a descriptor: nobody removes the entry before that is closed,
by `os.close` or the end of the process.

The client, the guardian and the emulator all use it, so it imports the standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from typing import TYPE_CHECKING

try:
    import fcntl
except ModuleNotFoundError:  # on Windows, where AWS cannot be emulated
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_MAKE_WITHIN = 600
_POLL = 0.02
_LOCK, _PART, _TRASH = ".lock", ".part", ".trash"


def packages_name(digests: Iterable[str]) -> str:
    """Return the name of the entry that holds these layers, in order, in one directory."""
    return f"packages-{hashlib.sha256(' '.join(digests).encode()).hexdigest()[:32]}"


def find(root: Path, name: str) -> tuple[Path, int] | None:
    """Return an entry and its lock, or None if it does not exist or is about to be removed."""
    lock = _locked(root / f"{name}{_LOCK}", fcntl.LOCK_SH)
    if lock is None:
        return None
    if not (root / name).is_dir():
        os.close(lock)
        return None
    os.utime(lock)
    return root / name, lock


def find_or_make(root: Path, name: str, make: Callable[[Path], object]) -> tuple[Path, int, bool]:
    """Return an entry, its lock, and whether it was made now.

    ``make`` fills an empty directory, which is then renamed.
    """
    deadline = time.monotonic() + _MAKE_WITHIN
    made = False
    while True:
        found = find(root, name)
        if found:
            return *found, made
        lock = _locked(root / f"{name}{_LOCK}", fcntl.LOCK_EX)
        if lock is not None:
            try:
                if not (root / name).is_dir():
                    _make(root, name, make, lock)
                    made = True
            finally:
                os.close(lock)
        elif time.monotonic() > deadline:
            raise TimeoutError(
                f"another process has been making {root / name} for {_MAKE_WITHIN} s"
            )
        else:
            time.sleep(_POLL)


def remove(root: Path, name: str) -> bool:
    """Remove an entry that nobody uses. Return whether it is gone."""
    path = root / f"{name}{_LOCK}"
    lock = _locked(path, fcntl.LOCK_EX)
    if lock is None:
        return False
    try:
        trash = root / f"{secrets.token_hex(8)}{_TRASH}"
        for left in (root / name, root / f"{name}{_PART}"):
            with contextlib.suppress(FileNotFoundError):
                left.rename(trash)
                shutil.rmtree(trash, ignore_errors=True)
        path.unlink(missing_ok=True)
    finally:
        os.close(lock)
    return True


def prune(root: Path, limit: int) -> None:
    """Remove the least recently used entries until the rest has at most ``limit`` bytes.

    The remains of interrupted removals are removed too.
    """
    for trash in root.glob(f"*{_TRASH}"):
        shutil.rmtree(trash, ignore_errors=True)
    size = 0
    for name in reversed(names(root)):
        if (root / name).is_dir():
            size += size_of(root, name)
            if size <= limit:
                continue
        remove(root, name)


def names(root: Path) -> list[str]:
    """Return the names of all entries, the most recently used last."""
    used = []
    for lock in root.glob(f"*{_LOCK}"):
        with contextlib.suppress(FileNotFoundError):
            used.append((lock.stat().st_mtime_ns, lock.name.removesuffix(_LOCK)))
    return [name for _, name in sorted(used)]


def size_of(root: Path, name: str) -> int:
    """Return the bytes that an entry had when it was made, 0 if unknown."""
    with contextlib.suppress(OSError, ValueError):
        return int((root / f"{name}{_LOCK}").read_text(encoding="ascii"))
    return 0


def _make(root: Path, name: str, make: Callable[[Path], object], lock: int) -> None:
    part = root / f"{name}{_PART}"
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    part.mkdir(mode=0o700)
    try:
        make(part)
        size = sum(
            entry.stat(follow_symlinks=False).st_size
            for directory, _, _ in os.walk(part)
            for entry in os.scandir(directory)
        )
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(size).encode(), 0)
        part.rename(root / name)
    except BaseException:  # Ctrl-C too: no other process finishes it
        shutil.rmtree(part, ignore_errors=True)
        raise


def _locked(path: Path, operation: int) -> int | None:
    """Open a lock file and lock it.

    Return None if another lock prevents that, or if the file was removed meanwhile.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, operation | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None
