"""Zips unpacked into /tmp, each into a directory named by its content.

**Input:** a zip. **Output:** its files, executable where they were. A directory appears complete or
not at all. Processes that share a /tmp (only emulated workers do) share the directory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.errors import EnvelopeError

if TYPE_CHECKING:
    from collections.abc import Callable

UNPACKED_LIMIT = 512 << 20
"""Largest unpacked size of a code archive, in bytes."""

_CODE = "dolambda-code-"
_KEPT = 4  # code archives that are kept though no process uses them
_ATTEMPTS = 10


def extract(file: zipfile.ZipFile, place: Path) -> None:
    """Unpack a zip below a directory, with the executable bits, which zipfile ignores."""
    for entry in file.infolist():
        path = file.extract(entry, place)
        mode = entry.external_attr >> 16
        if mode & 0o111 and not entry.is_dir():
            Path(path).chmod(0o755)


def unpack_code(digest: str, content: Callable[[], memoryview], parent: Path | None = None) -> Path:
    """Unpack a code archive, or find it unpacked.

    Returns:
        Its directory, which is kept while this process lives.

    Raises:
        EnvelopeError: The archive is larger than any that a client sends.
    """
    parent = parent or Path(tempfile.gettempdir())
    place = parent / f"{_CODE}{digest[:32]}"
    for _ in range(_ATTEMPTS):
        if not _is_ours(place):
            _unpack(content(), parent, place)
        if _hold(place):
            _remove_unused(parent, place)
            return place
    raise EnvelopeError(
        f"the code archive {digest[:12]} cannot be kept in {parent}",
        hint="Something removes it at once. Check whether a task empties the temporary directory.",
    )


def _unpack(content: memoryview, parent: Path, place: Path) -> None:
    import io  # noqa: PLC0415 - it is loaded already; this is its only use

    scratch = Path(tempfile.mkdtemp(prefix="dolambda-unpacking-", dir=parent))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            size = sum(entry.file_size for entry in file.infolist())
            if size > UNPACKED_LIMIT:
                raise EnvelopeError(
                    f"the code archive unpacks to {size:,} bytes, more than {UNPACKED_LIMIT:,}",
                    hint="No client sends such a large one. Check which program made the job.",
                )
            extract(file, scratch / "code")
        (scratch / "code").mkdir(exist_ok=True)
        if not _is_ours(place):
            if place.exists():  # another user's, or not a directory
                place.rename(scratch / "foreign")
            (scratch / "code").rename(place)
    except FileExistsError:  # another process was first
        pass
    except OSError:
        if not _is_ours(place):
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_ours(place: Path) -> bool:
    """Return whether it is a directory that only this user could have made."""
    try:
        found = place.lstat()
    except OSError:
        return False
    writable_by_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not writable_by_others


_held: dict[str, int] = {}
"""Locks of the archives that this process uses, by place. The process holds each lock until it
ends.
"""


def _hold(place: Path) -> bool:
    """Lock it against removal while this process lives. Return False if it was just removed."""
    if str(place) in _held:
        return True
    try:
        lock = os.open(place, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if os.fstat(lock).st_ino == place.stat().st_ino:
            _held[str(place)] = lock
            return True
        os.close(lock)
    except OSError:
        return False
    return False


def _remove_unused(parent: Path, place: Path) -> None:
    """Remove the oldest code archives that no process uses."""
    others = [path for path in parent.glob(f"{_CODE}*") if path != place and _is_ours(path)]
    dated = sorted((path.stat().st_mtime_ns, path) for path in others if path.exists())
    for _, path in dated[: max(0, len(dated) - _KEPT + 1)]:
        try:
            lock = os.open(path, os.O_RDONLY)
        except OSError:  # another process has removed it
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = Path(tempfile.mkdtemp(prefix="dolambda-unused-", dir=parent))
            path.rename(gone / "code")
            shutil.rmtree(gone, ignore_errors=True)
        except OSError:  # it is in use
            continue
        finally:
            os.close(lock)
