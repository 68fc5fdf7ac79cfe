"""The user's own modules as one zip, the code archive, which workers unpack onto their import path.

**Input:** the modules imported now, and names of modules that functions import when they run.
**Output:** `CodeFiles`, and the archive named by content.

    imported modules --+
    names in functions +--> own ones: packages whole, modules alone --> modules that their sources
                            import, and so on

Installed packages belong in a layer. ``__main__``, lambdas and closures travel by value.
"""

from __future__ import annotations

import sys
import zipfile
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import lru_cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.environment import module_search
from dolambda.environment.archive import make_zip
from dolambda.environment.own_distributions import own_metadata
from dolambda.environment.package_files import OUTSIDE, package_files
from dolambda.errors import TooLargeError
from dolambda.wire.blob import Blob
from dolambda.wire.imports import imports_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

    from dolambda.environment.module_search import Found

LIMIT = 20 << 20
"""Largest zipped size of the own modules, in bytes. More is rarely intended (data beside the code).
"""

UNPACKED_LIMIT = 400 << 20
"""Largest unpacked size of the own modules, in bytes: a worker's /tmp has 512 MB."""

_NEVER = frozenset({"dolambda", "__main__", "__mp_main__"})
_SCANNED_FILES = 4096


@dataclass
class CodeFiles:
    """The files that travel, by name on the import path, and those that do not, with the reason."""

    entries: dict[str, bytes | Path] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def archive(self) -> Blob | None:
        """Return the files as a zip, or None if there are none.

        Raises:
            TooLargeError: The modules exceed a limit.
        """
        if not self.entries:
            return None
        unpacked = sum(map(size_of, self.entries.values()))
        if unpacked > UNPACKED_LIMIT:
            raise self._too_large(f"{unpacked / 2**20:.0f} MiB", f"{UNPACKED_LIMIT >> 20} MiB")
        content = make_zip(self.entries)
        if len(content) > LIMIT:
            size = f"{len(content) / 2**20:.0f} MiB zipped"
            raise self._too_large(size, f"{LIMIT >> 20} MiB")
        return Blob.from_bytes(content)

    def _too_large(self, size: str, limit: str) -> TooLargeError:
        largest = max(self.entries, key=lambda entry: size_of(self.entries[entry]))
        return TooLargeError(
            f"your own modules are {size}, more than the {limit} that can be sent. The largest is "
            f"{largest}",
            hint="Leave it out (exclude_code=), move data out of the package, or install the "
            "package so that it goes into a layer. `dolambda code SCRIPT` lists what is sent.",
        )


def size_of(content: bytes | Path) -> int:
    """Return the size of an entry in bytes."""
    return content.stat().st_size if isinstance(content, Path) else len(content)


def collect(
    modules: Mapping[str, ModuleType] | None = None,
    *,
    names: Iterable[str] = (),
    include: Iterable[str] = (),
    exclude: Sequence[str] = (),
) -> CodeFiles:
    """Collect the user's own modules.

    Args:
        modules: The imported modules. Default: `sys.modules`.
        names: Modules that functions import when they run.
        include: Modules that travel although they are installed.
        exclude: Modules that do not travel, or files as patterns ("mine/data/*").

    Returns:
        The files that travel, and those that do not.
    """
    wanted = tuple(include)
    for name in wanted:
        import_module(name)
    gathering = _Gathering(wanted, exclude)
    for name, module in sorted((sys.modules if modules is None else modules).items()):
        if name.partition(".")[0] in _NEVER:
            continue
        if name not in wanted and module_search.is_installed(name, module):
            gathering.leave_out(name)
            continue
        found = module_search.from_module(name, module)
        if found is not None:
            gathering.add(found)
    gathering.follow(names)
    files = gathering.files
    files.entries |= own_metadata(one for one in files.entries.values() if isinstance(one, Path))
    return files


def bundle(
    modules: Mapping[str, ModuleType] | None = None,
    *,
    include: Iterable[str] = (),
    exclude: Sequence[str] = (),
) -> Blob | None:
    """Return a zip of the modules that `collect` finds, or None if there are none.

    Raises:
        TooLargeError: The modules exceed a limit.
    """
    return collect(modules, include=include, exclude=exclude).archive()


class _Gathering:
    """Collection of modules, and of those that their sources import, until nothing new is found."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        """Start with nothing."""
        self.files = CodeFiles()
        self._include = include
        self._exclude = exclude
        self._known: dict[str, Found | None] = {}
        self._waiting: list[str] = []

    def follow(self, names: Iterable[str]) -> None:
        """Find modules by name, and those that they import."""
        self._waiting += names
        while self._waiting:
            parts = self._waiting.pop().split(".")
            if parts[0] in _NEVER:
                continue
            parent: Found | None = None
            for end in range(1, len(parts) + 1):
                parent = self._find(".".join(parts[:end]), parent)
                if parent is None or not parent.directories:
                    break  # a module contains no others

    def leave_out(self, name: str) -> None:
        """Note a module that is not the user's own."""
        self._known[name] = None

    def add(self, found: Found) -> None:
        """Add a module if it is the user's own or was asked for."""
        self._known.setdefault(found.name, found)
        if not (found.name in self._include or found.is_own) or found.file is None:
            return
        if found.archive is not None:
            new = _zipped(found)
        elif found.is_package:
            new = self._package(found)
        else:
            new = {found.place: found.file}
        for place, content in new.items():
            if place in self.files.entries:
                continue
            if _is_excluded(place, self._exclude):
                self.files.left_out[place] = "exclude_code"
                continue
            self.files.entries[place] = content
            self._waiting += _imports(place, content)

    def _find(self, name: str, parent: Found | None) -> Found | None:
        if name not in self._known:
            self._known[name] = found = module_search.find(name, parent)
            if found is not None:
                self.add(found)
        return self._known[name]

    def _package(self, found: Found) -> dict[str, bytes | Path]:
        new: dict[str, bytes | Path] = {}
        assert found.file is not None  # noqa: S101 - for type checkers: a package has a file
        home, own = found.file.parent, f"{found.place}/{found.file.name}"
        inside = f"{found.place}/"
        left_out = self.files.left_out.items()
        links = any(why == OUTSIDE and name.startswith(inside) for name, why in left_out)
        if own in self.files.entries and set(found.directories) <= {home} and not links:
            return new  # a package that contains this one was walked
        for directory in dict.fromkeys((home, *found.directories)):
            files, left = package_files(directory)
            for name, path in files.items():
                new.setdefault(f"{found.place}/{name}", path)
            self.files.left_out |= {f"{found.place}/{name}": why for name, why in left.items()}
        return new


def _zipped(found: Found) -> dict[str, bytes | Path]:
    """Return the files of a module from a zip on the import path."""
    assert found.file is not None  # noqa: S101 - for type checkers: a module in a zip has a file
    assert found.archive is not None  # noqa: S101 - for type checkers
    inside = found.file.relative_to(found.archive)
    with zipfile.ZipFile(found.archive) as archive:
        if not found.is_package:
            return {found.place: archive.read(inside.as_posix())}
        prefix = f"{inside.parent.as_posix()}/"
        return {
            f"{found.place}/{name.removeprefix(prefix)}": archive.read(name)
            for name in archive.namelist()
            if name.startswith(prefix) and not name.endswith("/") and "__pycache__" not in name
        }


def _is_excluded(place: str, exclude: Sequence[str]) -> bool:
    module = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return any(
        module == name
        or module.startswith(f"{name}.")
        or place.startswith(f"{name}/")
        or fnmatch(place, name)
        for name in exclude
    )


def _imports(place: str, content: bytes | Path) -> frozenset[str]:
    """Return the modules that a source file imports.

    Return none if it is no source or cannot compile.
    """
    if not place.endswith(".py"):
        return frozenset()
    stem = place.removesuffix(".py").replace("/", ".")
    package = (
        stem.removesuffix(".__init__") if stem.endswith(".__init__") else stem.rpartition(".")[0]
    )
    if isinstance(content, bytes):
        return _imports_of_source(content, place, package)
    found = content.stat()
    return _imports_of_file(str(content), package, found.st_mtime_ns, found.st_size)


def _imports_of_source(source: bytes, place: str, package: str) -> frozenset[str]:
    try:
        return imports_of(compile(source, place, "exec", dont_inherit=True), package)
    except (SyntaxError, ValueError, RecursionError):  # a template, or source of another Python
        return frozenset()


@lru_cache(_SCANNED_FILES)
def _imports_of_file(path: str, package: str, _mtime: int, _size: int) -> frozenset[str]:
    try:
        code = _Reader("scanned", path).get_code("scanned")
    except (SyntaxError, ValueError, RecursionError, OSError, ImportError):  # no readable source
        return frozenset()
    return imports_of(code, package) if code else frozenset()


class _Reader(SourceFileLoader):
    """Loader that reads compiled sources from the cache and never writes any."""

    def set_data(self, *_args: object, **_options: object) -> None:
        """Write nothing."""
