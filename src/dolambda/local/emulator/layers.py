"""A function's layers and bundle, laid out as the worker finds them.

**Input:** a function's configuration, in ministack's form. **Output:** one directory with all
layers merged, and a link to a bundle that is already in the cache of sessions.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ministack.services import lambda_svc as service

from . import compile_packages, entries

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAYERS = Path(tempfile.gettempdir(), "layers")
TEMPORARY = Path(tempfile.gettempdir(), "functions")
"""The functions' directory for temporary files. A task may empty it, so layers are elsewhere."""
_NAMING = "dolambda-digest"
_USED: dict[str, tuple[Path, int]] = {}  # entries of the cache, with the locks that keep them
_USING = threading.Lock()


def layers_directory(layers: list[Any]) -> Path:
    """Return a directory with all layers of a function, merged in order, as AWS does in /opt.

    Layers that name their content are already in the cache.
    """
    contents = [content for content in map(service._resolve_layer_zip, layers) if content]
    digests = [digest for content in contents if (digest := digest_named(content))]
    others = [content for content in contents if not digest_named(content)]
    cached = cached_packages(digests) if digests else None
    if cached and not others:
        return cached
    name = hashlib.sha256(
        b"".join(hashlib.sha256(content).digest() for content in contents)
    ).hexdigest()[:24]
    place = _LAYERS / name
    with service._provided_code_lock:
        if not place.is_dir():
            _LAYERS.mkdir(exist_ok=True)
            part = Path(tempfile.mkdtemp(dir=_LAYERS))
            for content in others:
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    service._extract_zip_preserving_mode(archive, str(part))
            if cached:
                link_below(cached, part)
            part.rename(place)
    return place


def digest_named(content: bytes) -> str:
    """Return the digest that a zip holds in place of its content, see local/packages.py.

    Return "" for any other zip.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if archive.namelist() != [_NAMING]:
            return ""
        return archive.read(_NAMING).decode("ascii")


def cached_packages(digests: Sequence[str]) -> Path:
    """Return the directory in which layers with these digests are laid out together.

    Nobody removes it before this process ends.
    """
    name = entries.packages_name(digests)
    with _USING:
        if name not in _USED:
            found = entries.find(Path(os.environ["DOLAMBDA_LOCAL_CACHE"]), name)
            if found is None:
                raise FileNotFoundError(f"the packages {name} are no longer in the cache")
            _USED[name] = found
            compile_beside(found[0])
        return _USED[name][0]


def compile_beside(entry: Path) -> None:
    """Compile an entry in a process that the guardian ends with the emulator, if not earlier."""
    if compile_packages.is_compiled(entry):
        return
    with contextlib.suppress(OSError):  # no process can be started: workers compile for themselves
        subprocess.Popen(
            [sys.executable, "-I", compile_packages.__file__, str(entry)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def link_below(source: Path, target: Path) -> None:
    """Link all files of a directory into another, replacing files of the same name."""
    for directory, _, files in os.walk(source):
        into = target / Path(directory).relative_to(source)
        into.mkdir(parents=True, exist_ok=True)
        for name in files:
            (into / name).unlink(missing_ok=True)
            (into / name).symlink_to(Path(directory, name))


def link_bundle(config: dict[str, Any]) -> Path | None:
    """Link a bundle in the cache to the place where the worker unpacks bundles.

    The worker then finds that it is unpacked, see worker/bundle.py.

    Returns:
        The link, or None if the worker has to fetch the bundle.
    """
    variables = config.get("Environment", {}).get("Variables", {})
    digest, _, of_zip = variables.get("DOLAMBDA_BUNDLE", "").partition(":")
    if not digest or "DOLAMBDA_LOCAL_CACHE" not in os.environ:
        return None
    place = TEMPORARY / f"dolambda-bundle-{of_zip[:32]}"
    try:
        TEMPORARY.mkdir(exist_ok=True)
        place.symlink_to(cached_packages([digest]))
    except FileNotFoundError:
        return None
    except FileExistsError:
        pass
    return place if place.is_symlink() else None
