"""Packages that exceed the layers.

**Input:** a digest and a function that fetches. **Output:** a directory for the import path.

A cold worker fetches and unpacks once. Workers that share a /tmp (only emulated ones do) share the
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
    """Fetch a bundle, check its digest, and unpack it.

    Raises:
        EnvelopeError: The content does not have this digest.
    """
    import shutil  # noqa: PLC0415 - these take 4 ms, and few stacks have a bundle
    import tempfile  # noqa: PLC0415
    import zipfile  # noqa: PLC0415

    from dolambda.worker.unpacking import extract  # noqa: PLC0415

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
                f"the content of bundle {digest[:12]} does not match its name",
                hint="Something else wrote it. Delete the object and run `dolambda deploy`, which "
                "uploads the bundle again.",
            )
        with zipfile.ZipFile(zipped) as archive:
            extract(archive, unpacked)
        zipped.unlink()
        if not place.is_dir():
            unpacked.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return place
