"""Packages that layers have no room for.

On entry: a digest and a way to fetch; on leaving: a directory for the import path.

A cold worker fetches and unpacks once; workers that share a /tmp (only emulated ones do) share the
directory.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.errors import EnvelopeError

if TYPE_CHECKING:
    from collections.abc import Callable


def unpack(digest: str, fetch: Callable[[Path], None]) -> Path:
    """Fetch, check against the digest, unpack.

    Raises `EnvelopeError` for other content than the digest names.
    """
    import shutil  # noqa: PLC0415 - these take 4 ms, and few stacks have a bundle
    import tempfile  # noqa: PLC0415 - as above
    import zipfile  # noqa: PLC0415 - as above

    from dolambda.worker.unpacking import extract  # noqa: PLC0415 - as above

    place = Path(tempfile.gettempdir(), f"dolambda-bundle-{digest[:32]}")
    if place.is_dir():
        return place
    scratch = Path(tempfile.mkdtemp(prefix="dolambda-unpacking-"))
    try:
        zipped, unpacked = scratch / "bundle.zip", scratch / "unpacked"
        fetch(zipped)
        with zipped.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise EnvelopeError(
                f"the bundle {digest[:12]} has other content than its name says",
                hint="Something else wrote it. Run `dolambda deploy`: it uploads the bundle again "
                "once the object is deleted.",
            )
        with zipfile.ZipFile(zipped) as archive:
            extract(archive, unpacked)
        zipped.unlink()
        if not place.is_dir():
            unpacked.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return place
