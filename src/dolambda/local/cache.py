"""The cache that this user's emulated AWSs share.

It holds installed packages laid out for workers, and the emulator's own environment.

    <user's cache directory>/dolambda-local       entries, see emulator/entries.py
        packages-<digest>/      the unpacked layers of one stack, or its bundle, named by content
        emulator-<digest>/      the emulator's own environment
        digests/                names of contents, by size and time of their files

A cache is used only if nobody else can have written to it, see `place.objection`.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import platformdirs

from dolambda.local.emulator import entries
from dolambda.local.place import objection, objection_to_parent

LIMIT = 10 << 30
"""Bytes to which the cache is reduced after an addition."""

DIGESTS = "digests"

log = logging.getLogger(__name__)


def home() -> Path:
    """Return the directory of this user's cache. It need not exist."""
    return Path(platformdirs.user_cache_dir("dolambda-local"))


def opened(instead: Path) -> Path:
    """Return an existing cache of this user alone: the shared one, or one in ``instead``."""
    place = home()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        why = objection_to_parent(place.parent)
        if not why:
            with contextlib.suppress(FileExistsError):
                place.mkdir(mode=0o700)
            why = objection(place)
        if not why:
            (place / DIGESTS).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        why = f"{place}: {error.strerror}"
    if not why:
        return place
    log.info("no packages are kept between sessions: %s", why)
    (instead / DIGESTS).mkdir(mode=0o700, parents=True, exist_ok=True)
    return instead


def clean() -> tuple[int, int]:
    """Remove the entries that no session uses.

    A cache that another user may have written is left alone.

    Returns:
        Bytes removed, and the number of entries in use.

    Raises:
        OSError: The cache cannot be read.
    """
    place = home()
    if not place.exists() or objection(place):
        return 0, 0
    freed = used = 0
    for name in entries.names(place):
        size = entries.size_of(place, name)
        if entries.remove(place, name):
            freed += size
        else:
            used += 1
    entries.prune(place, LIMIT)
    for file in (place / DIGESTS).glob("*"):
        file.unlink(missing_ok=True)
    return freed, used
