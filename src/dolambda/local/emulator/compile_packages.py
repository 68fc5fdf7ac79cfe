"""Compilation of packages in the cache, for later workers: they cannot write below /opt.

Installers such as uv leave no bytecode. The program runs beside the first tasks, with the lowest
priority, and goes on where an earlier one was ended.

**Input:** an entry of the cache. **Output:** bytecode that is not compared with its source, beside
each source that had none.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import py_compile
import sys
import warnings
from pathlib import Path

_DONE = ".compiled"


def is_compiled(entry: Path) -> bool:
    """Return whether nothing is left to do."""
    return (entry / _DONE).exists()


def compile_entry(entry: Path) -> None:
    """Compile what has no bytecode."""
    for source in sorted(entry.rglob("*.py")):
        target = importlib.util.cache_from_source(str(source))
        if os.path.exists(target):  # noqa: PTH110 - tens of thousands of files
            continue
        # Packages have templates, and files for other versions of Python.
        with contextlib.suppress(py_compile.PyCompileError, ValueError, RecursionError):
            py_compile.compile(
                str(source),
                target,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
    (entry / _DONE).touch()


if __name__ == "__main__":
    os.nice(19)
    warnings.simplefilter("ignore")  # of others' code
    with contextlib.suppress(OSError):  # a full disk: workers compile for themselves
        compile_entry(Path(sys.argv[1]))
