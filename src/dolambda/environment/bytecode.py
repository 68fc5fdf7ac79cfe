"""The bytecode of sources, for workers that cannot write it.

**Input:** sources by name. **Output:** files as Python looks for them, in directories __pycache__.

Nothing can be written below /opt and /var/task on Lambda, so that each cold start would compile
every source that it imports. The bytecode is the same whenever it is made from the same source by
the same version of Python. It is never compared with the source (PEP 552), and other minor versions
of Python ignore it.
"""

from __future__ import annotations

import importlib.util
import marshal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import CodeType

UNCHECKED = (0b01).to_bytes(4, "little") + bytes(8)
PER_SOURCE = 1.8
"""Size of bytecode in relation to that of its source, rounded up: 1.6 was measured."""

_REPRODUCIBLE = 2  # the last version of marshal whose output does not depend on reference counts


def compiled(sources: Mapping[str, bytes | Path]) -> dict[str, bytes | Path]:
    """Return the bytecode of the files that are sources. What cannot be compiled is left out."""
    found: dict[str, bytes | Path] = {}
    for name, path in sources.items():
        if isinstance(path, Path) and name.endswith(".py"):
            bytecode = _compiled(path.read_bytes(), name)
            if bytecode is not None:
                package, _, module = name.rpartition("/")
                cached = f"{module.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
                where = f"{package}/__pycache__/{cached}".lstrip("/")
                found[where] = importlib.util.MAGIC_NUMBER + UNCHECKED + bytecode
    return found


def expected_size(sources: Iterable[Path]) -> int:
    """Return about how many bytes the bytecode of the sources among some files will have."""
    sizes = (path.stat().st_size for path in sources if path.suffix == ".py")
    return int(PER_SOURCE * sum(sizes))


def _compiled(source: bytes, name: str) -> bytes | None:
    """Return the bytecode, or None if there is none.

    Packages have templates, and files for other versions of Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of others' code
            code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return marshalled(code)


def marshalled(code: CodeType) -> bytes | None:
    """Return the bytecode, or None if the format cannot hold a constant.

    Slices among the constants of Python 3.14 are an example.
    """
    try:
        return marshal.dumps(code, _REPRODUCIBLE)
    except ValueError:
        return None
