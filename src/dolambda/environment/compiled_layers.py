"""Layers for AWS with the bytecode of their sources, as far as Lambda's limit allows.

**Input:** `Contents`. **Output:** the same contents. Without bytecode each cold start compiles what
it imports: more than a second of scikit-learn, which is paid for.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.environment.archive import make_zip
from dolambda.environment.bytecode import compiled, expected_size
from dolambda.environment.layer import MB, UNZIPPED_LIMIT, Archive
from dolambda.environment.replaced import replaced

if TYPE_CHECKING:
    from dolambda.environment.layer import Contents

_ROOM = UNZIPPED_LIMIT - 10 * MB  # the rest is for the function's own code, and for estimates


class _CompiledArchive(Archive):
    """A layer whose zip also holds bytecode. Its sources name it: they determine the bytecode."""

    @cached_property
    def digest(self) -> str:
        """Name of the content."""
        parts = f"{super().digest} with bytecode {importlib.util.MAGIC_NUMBER.hex()}"
        return hashlib.sha256(parts.encode()).hexdigest()

    @cached_property
    def content(self) -> bytes:
        """The zip."""
        return make_zip({**self.entries, **compiled(self.entries)}, compress=True)


def with_bytecode(contents: Contents) -> Contents:
    """Return contents whose layers hold bytecode, the smaller layers first, while there is room.

    The bundle does not need it: it is in /tmp, where Python writes bytecode itself.
    """
    room = _ROOM - sum(layer.size for layer in contents.layers)
    found: dict[int, Archive] = {}
    for number, layer in sorted(enumerate(contents.layers), key=lambda item: item[1].size):
        more = expected_size(one for one in layer.entries.values() if isinstance(one, Path))
        if 0 < more <= room:
            room -= more
            size = layer.size + more
            found[number] = _CompiledArchive(layer.packages, layer.entries, size, compress=True)
    layers = (found.get(number, layer) for number, layer in enumerate(contents.layers))
    return replaced(contents, layers=tuple(layers))
