"""The place of a worker's R: a layer, the bundle, or this machine if AWS is emulated on it.

**Input:** the environment of the worker. **Output:** the command that starts R, and its
environment.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = "dolambda-r"
"""Directory of a layer, or of the bundle, that contains R."""

_OPTIONS = ("--vanilla", "--no-echo")


@dataclass(frozen=True)
class RCommand:
    """The command that starts R."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


def find_r(home: str, environ: Mapping[str, str]) -> RCommand:
    """Find the worker's R: that of a layer, else the one in ``home``, else the one on the path.

    Raises:
        ConfigurationError: There is no R.
    """
    for folder in _folders(environ):
        loader = next((folder / "lib").glob("ld-linux-*"), None)
        if loader and (folder / "R" / "bin" / "exec" / "R").is_file():
            return _from_layer(folder, loader, environ)
    program = Path(home, "bin", "R")
    found = str(program) if program.is_file() else shutil.which("R", path=environ.get("PATH"))
    if found is None:
        raise ConfigurationError(
            "the workers of this stack have no R",
            hint="Deploy the stack with R: `dolambda deploy --r`. On this machine, install R.",
        )
    # An emulated layer's additions to the library path are for Python's packages.
    unset = ("LD_LIBRARY_PATH", "R_HOME")
    rest = {name: value for name, value in environ.items() if name not in unset}
    return RCommand((found, *_OPTIONS), rest)


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield directories that may contain R: next to each ``bin`` of the path, and the bundle."""
    for place in environ.get("PATH", "").split(os.pathsep):
        if Path(place).name == "bin":
            yield Path(place).parent / FOLDER
    for place in sys.path:
        yield Path(place) / FOLDER


def _from_layer(folder: Path, loader: Path, environ: Mapping[str, str]) -> RCommand:
    """Return the command that starts R by its own loader, independent of the system's C library."""
    home = folder / "R"
    libraries = f"{home / 'lib'}:{folder / 'lib'}"
    program = (str(loader), "--library-path", libraries, str(home / "bin" / "exec" / "R"))
    own = {
        "R_HOME": str(home),
        "R_SHARE_DIR": str(home / "share"),
        "R_INCLUDE_DIR": str(home / "include"),
        "R_DOC_DIR": str(home / "doc"),
        "R_ARCH": "",
        "R_LIBS_SITE": os.pathsep.join(str(place / "library") for place in _folders(environ)),
        "R_LIBS_USER": "NULL",
        "R_DEFAULT_PACKAGES": "NULL",  # worker.R loads them, after replacing Sys.which
        "R_LD_PRELOAD": "",
        "EDITOR": "vi",
        "PAGER": "cat",
        "LOCPATH": str(folder / "locale"),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": environ.get("TMPDIR", "/tmp"),  # noqa: S108 - Lambda's only writable directory
        "TZDIR": str(folder / "zoneinfo"),
    }
    return RCommand((*program, *_OPTIONS), {**environ, **own})
