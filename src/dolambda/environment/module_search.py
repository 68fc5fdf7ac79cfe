"""Search for a module without importing it.

**Input:** a module's name. **Output:** a `Found`: its file or directories, and whether it is the
user's own.

A module is the user's own if it is neither in the standard library nor installed (in a
site-packages directory).
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_SITES = frozenset({"site-packages", "dist-packages"})
_STANDARD_ZIP = f"python{sys.version_info.major}{sys.version_info.minor}.zip"


@dataclass(frozen=True)
class Found:
    """A module.

    ``file`` is None for a namespace package. ``archive`` is set for a module in a zip.
    """

    name: str
    file: Path | None
    directories: tuple[Path, ...] = ()
    archive: Path | None = None

    @property
    def is_package(self) -> bool:
        """Return whether it has an __init__ file."""
        return self.file is not None and self.file.name.startswith("__init__.")

    @property
    def place(self) -> str:
        """Its name on the import path: a file for a module, a directory for a package."""
        path = self.name.replace(".", "/")
        if self.file is None or self.is_package:
            return path
        return f"{path}{_suffix(self.file)}"

    @property
    def is_own(self) -> bool:
        """Return whether it is the user's own."""
        if self.archive is not None:
            return self.archive.name != _STANDARD_ZIP and is_own(str(self.archive))
        return is_own(str(self.file)) if self.file else any(map(is_own, map(str, self.directories)))


def from_module(name: str, module: ModuleType) -> Found | None:
    """Return an imported module, or None if its file is missing or it is another module's.

    A source may be loaded under any name, by importlib.util.spec_from_file_location.
    """
    file = _attribute(module, "__file__")
    path = _attribute(module, "__path__")
    directories = tuple(Path(entry) for entry in _entries(path) if Path(entry).is_dir())
    if not isinstance(file, str):
        return Found(name, None, directories) if directories else None
    archive = getattr(_attribute(module, "__loader__"), "archive", None)
    if isinstance(archive, str):  # in a zip
        return Found(name, Path(file), (), Path(archive))
    found = Found(name, Path(file), directories)
    last = name.rpartition(".")[2]
    spec = _attribute(module, "__spec__")
    origin = getattr(spec, "origin", None) if getattr(spec, "name", None) == name else None
    loaded = file.endswith(".py") and file == origin
    named = found.is_package or loaded or Path(file).name == last + _suffix(Path(file))
    return found if named and Path(file).is_file() else None


def is_installed(name: str, module: ModuleType) -> bool:
    """Return whether an imported module is known not to be the user's own.

    Do so without reading the disk again: a program with many libraries has 2,000 modules.
    """
    file = _attribute(module, "__file__")
    if not isinstance(file, str) or is_own(file):
        return False
    return os.path.basename(file).partition(".")[0] in ("__init__", name.rpartition(".")[2])  # noqa: PTH119 - pathlib takes ten times as long


def find(name: str, parent: Found | None = None) -> Found | None:
    """Return a module found as the import system would find it, or None if it has no file."""
    path = [str(directory) for directory in parent.directories] if parent else None
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, path)
        except Exception:  # noqa: BLE001 - finders are foreign code: some raise for unusual names
            spec = None
        if spec is not None:
            return _from_spec(spec)
    return None


def _from_spec(spec: ModuleSpec) -> Found | None:
    directories = tuple(Path(entry) for entry in _entries(spec.submodule_search_locations))
    archive = getattr(spec.loader, "archive", None)
    if isinstance(archive, str) and spec.origin:  # in a zip
        return Found(spec.name, Path(spec.origin), (), Path(archive))
    if spec.origin and spec.has_location and Path(spec.origin).is_file():
        return Found(spec.name, Path(spec.origin), directories)
    return Found(spec.name, None, directories) if directories and not spec.has_location else None


def _attribute(module: object, name: str) -> object:
    """Return an attribute of a module without calling its ``__getattr__``.

    Some modules import in that method, and some entries of `sys.modules` are no modules.
    """
    try:
        return vars(module).get(name)
    except Exception:  # noqa: BLE001 - libraries put objects of any kind into `sys.modules`
        return None


def _entries(path: object) -> list[str]:
    try:
        # An object of another type raises.
        return [str(entry) for entry in path]  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - a module's __path__ may be anything
        return []


def _suffix(file: Path) -> str:
    """Return a module's suffix. That of a compiled module has several dots."""
    for suffix in EXTENSION_SUFFIXES:
        if file.name.endswith(suffix):
            return suffix
    return file.suffix


@cache
def is_own(file: str) -> bool:
    """Return whether a file is neither of the standard library nor installed."""
    resolved = Path(file).resolve()
    return (
        not _is_of_standard_library(Path(file))
        and _installed().isdisjoint((resolved, *resolved.parents))
        and _SITES.isdisjoint(resolved.parts)
    )


def _is_of_standard_library(file: Path) -> bool:
    """Return whether the standard library holds the file, or a link to it.

    Debian's links to /etc/python3/sitecustomize.py. A link in site-packages is not meant: it may
    lead to a module of the user's own.
    """
    paths = sysconfig.get_paths()
    return any(
        file.is_relative_to(place) and _SITES.isdisjoint(file.relative_to(place).parts)
        for place in (paths["stdlib"], paths["platstdlib"])
    )


@cache
def _installed() -> frozenset[Path]:
    paths = sysconfig.get_paths()
    places = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places += [*site.getsitepackages(), site.getusersitepackages()]
    return frozenset(Path(place).resolve() for place in places)
