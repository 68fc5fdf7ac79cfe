"""The user's own modules. On entry: what is imported now; on leaving: one zip of it, named by content, for sys.path there.

A module is the user's own when it has a source file that is neither in the standard library nor installed (in a
site-packages directory). What is installed belongs in a layer; ``__main__``, lambdas and closures travel by value.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dolambda.environment.archive import files_below, make_zip
from dolambda.errors import TooLargeError
from dolambda.wire.blob import Blob

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

LIMIT = 20 << 20
"""Bytes of own modules that travel at most; more is rarely meant (data beside the code)."""

_OURS = "dolambda"


def bundle(
    modules: Mapping[str, ModuleType] | None = None,
    *,
    include: Iterable[str] = (),
    exclude: Sequence[str] = (),
) -> Blob | None:
    """Zip the user's own modules, None when there are none. Raises `TooLargeError`.

    ``include`` names modules that travel though they are installed; ``exclude`` names ones that do not, or files as patterns.
    """
    for name in include:
        import_module(name)
    entries: dict[str, bytes | Path] = {}
    for name, module in sorted((modules or sys.modules).items()):
        if name.split(".")[0] not in (_OURS, "__main__", "__mp_main__"):
            entries |= _sources(name, module, wanted=name in set(include))
    entries = {place: source for place, source in entries.items() if not _left_out(place, exclude)}
    if not entries:
        return None
    entries |= dict.fromkeys(_folders(entries), b"")
    content = make_zip(entries)
    if len(content) > LIMIT:
        largest = max(entries, key=lambda entry: len(_read(entries[entry])))
        size = f"{len(content) / 2**20:.0f} MiB zipped, more than the {LIMIT >> 20} MiB that travel"
        msg = f"your own modules are {size}; largest is {largest}"
        raise TooLargeError(
            msg,
            hint="Leave it out (exclude_code=), move data out of the package, or install the package so that it goes into a layer.",
        )
    return Blob.from_bytes(content)


def _folders(places: Mapping[str, object]) -> set[str]:
    """Names that a zip has to hold for its directories without an __init__.py to be packages (PEP 420), as zipimport has it."""
    return {
        f"{folder}/"
        for place in places
        for folder in map(str, PurePosixPath(place).parents)
        if folder != "." and f"{folder}/__init__.py" not in places
    }


def _left_out(place: str, exclude: Sequence[str]) -> bool:
    module = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return any(
        module == name
        or module.startswith(f"{name}.")
        or place.startswith(f"{name}/")
        or fnmatch(place, name)
        for name in exclude
    )


def _sources(name: str, module: ModuleType, *, wanted: bool) -> dict[str, bytes | Path]:
    file = getattr(module, "__file__", None)
    if (
        file is None
        or not file.endswith(".py")
        or not (wanted or _own(file))
        or not Path(file).is_file()
    ):  # it may be in a zip
        return {}
    path, place = Path(file), name.replace(".", "/")
    if path.name != "__init__.py":
        return {f"{place}.py": path} if path.stem == name.rsplit(".", maxsplit=1)[-1] else {}
    return {
        f"{place}/{relative}": source
        for relative, source in files_below(path.parent).items()
        if source_like(relative)
    }


def source_like(relative: str) -> bool:
    """Whether a file of a package belongs in the bundle: sources, and what they read beside them, but no hidden files."""
    return not any(part.startswith(".") for part in relative.split("/"))


@cache
def _own(file: str) -> bool:
    resolved = Path(file).resolve()
    return not _installed().intersection(resolved.parents) and not {
        "site-packages",
        "dist-packages",
    }.intersection(resolved.parts)


@cache
def _installed() -> frozenset[Path]:
    places = (*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values())
    return frozenset(Path(place).resolve() for place in places)


def _read(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content
