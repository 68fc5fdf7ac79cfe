"""The metadata of distributions whose code is the user's own, such as those in editable mode.

**Input:** the own files that travel. **Output:** metadata, by its name on the import path.

Their layer does not exist, but packages ask for their version or for entry points when they are
imported.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from dolambda.environment.requirements import direct_url, headers_of, is_own_distribution

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILES = ("entry_points.txt", "top_level.txt")  # others name paths of this machine
_NEVER = "dolambda"


def own_metadata(files: Iterable[Path]) -> dict[str, bytes]:
    """Return the metadata of the own distributions that have one of these files."""
    directories = {(file.resolve() if file.is_symlink() else file).parent for file in files}
    resolved = {directory.resolve() for directory in directories}
    places = resolved.union(*(directory.parents for directory in resolved))
    found: dict[str, bytes] = {}
    for project, content in _own_distributions(tuple(sys.path)):
        if project in places:
            found.update(content)
    return found


@lru_cache(maxsize=4)
def _own_distributions(_import_path: tuple[str, ...]) -> list[tuple[Path, dict[str, bytes]]]:
    """Return the project and the metadata of each own distribution."""
    own = filter(is_own_distribution, metadata.distributions())
    return [
        (_project(one), _content(one))
        for one in own
        if headers_of(one)["Name"] not in (None, _NEVER)
    ]


def _project(found: metadata.Distribution) -> Path:
    """Return the directory below which a distribution's sources are."""
    url = str(direct_url(found).get("url", ""))
    is_file = url.startswith("file:")
    place = url2pathname(urlsplit(url).path) if is_file else str(found.locate_file(""))
    return Path(place).resolve()


def _content(found: metadata.Distribution) -> dict[str, bytes]:
    name = headers_of(found)["Name"].replace("-", "_")
    texts = {file: found.read_text(file) for file in _FILES}
    texts["METADATA"] = found.read_text("METADATA") or found.read_text("PKG-INFO")
    return {
        f"{name}-{found.version}.dist-info/{file}": text.encode(errors="surrogateescape")
        for file, text in texts.items()
        if text
    }
