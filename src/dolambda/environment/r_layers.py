"""R in layers: for any C library, built from Debian's binary packages, without Docker.

**Input:** names of R packages and an architecture. **Output:** three archives: ``subsystem`` (a
loader and shared libraries), ``r`` (R with its own packages), ``r_lib`` (the packages asked for).

On a worker all of them are in /opt/dolambda-r. R starts with the loader in that directory, so the
system's own C library does not matter. `dolambda.r.find_r` starts it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import weakref
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.environment.debian import Apt
from dolambda.environment.elf import needed_by
from dolambda.environment.layer import MB, UNZIPPED_LIMIT, Archive, Package
from dolambda.environment.r_source import (
    SourcePackage,
    compile_packages,
    is_path,
    refuse_other_architecture,
)
from dolambda.environment.replaced import replaced
from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dolambda.environment.layer import Contents
    from dolambda.settings import Settings

FOLDER = "dolambda-r"
"""Directory in /opt that holds R. `dolambda.r.find_r` has the same name."""

LAYERS = ("subsystem", "r", "r_lib")
_ROOM = 245 * MB  # the rest is for the function's own code
_HOME = Path("usr/lib/R")
_MANIFEST = "manifest.json"
_CORE = ("r-base-core", "libopenblas0-pthread", "tzdata", "libc-bin")
_ALWAYS = ("foreach", "iterators", "codetools")
_LEFT_OUT = frozenset({"R_X11.so", "tcltk", "translations"})  # they need X, or are never read
_DIRECTORIES = frozenset(
    {"help", "html", "doc", "demo", "tests", "include", "po", "man", "COPYING", "licenses"}
)
_LIBRARY_PLACES = (
    "usr/lib/{triplet}/openblas-pthread",
    "lib/{triplet}",
    "usr/lib/{triplet}",
    "lib64",
    "lib",
)
_TRIPLETS = {"x86_64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}


@dataclass(frozen=True)
class RLayers:
    """The archives of R, by the names in `LAYERS`."""

    architecture: str
    version: str
    packages: tuple[str, ...]
    files: Mapping[str, Mapping[str, bytes | Path]] = field(repr=False)

    def archive(self, name: str, *, compress: bool = True) -> Archive:
        """Return one of the layers."""
        entries = {f"{FOLDER}/{place}": content for place, content in self.files[name].items()}
        shown = {
            "subsystem": ("shared libraries",),
            "r": (f"R {self.version}",),
            "r_lib": self.packages,
        }
        return Archive(shown[name], entries, self.size(name), compress=compress)

    def size(self, name: str) -> int:
        """Return the bytes of a layer, unzipped."""
        return sum(map(_length, self.files[name].values()))

    def write(self, file: Path) -> None:
        """Write all layers to one file, with a checksum of each, for a machine without apt."""
        zips = {f"{name}.zip": self.archive(name).content for name in LAYERS}
        manifest = {
            "architecture": self.architecture,
            "version": self.version,
            "packages": list(self.packages),
            "sha256": {name: hashlib.sha256(zipped).hexdigest() for name, zipped in zips.items()},
        }
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_MANIFEST, json.dumps(manifest, indent=1))
            for name, zipped in zips.items():
                archive.writestr(name, zipped)


def build_r(packages: Iterable[str], architecture: str) -> RLayers:
    """Download packages, choose the files that R needs, and strip them.

    Raises:
        ConfigurationError: A package cannot be downloaded or does not exist.
    """
    entries = dict.fromkeys((*_ALWAYS, *packages))
    sources = [SourcePackage.from_path(Path(entry)) for entry in entries if is_path(entry)]
    refuse_other_architecture(sources, architecture)
    scratch = Path(tempfile.mkdtemp(prefix="dolambda-r-"))
    try:
        apt = Apt.from_directory(scratch, architecture)
        ready, sources = _sorted_out([e for e in entries if not is_path(e)], sources, apt)
        refuse_other_architecture(sources, architecture)
        root = apt.unpack([*_CORE, *map(debian_name, ready)])
        if sources:
            library = root / _HOME / "site-library"
            compile_packages(sources, scratch / "compiled", library, _version_in(root))
        wanted = (*ready, *(one.name for one in sources))
        layers = _chosen(root, scratch / "compiled", architecture, wanted)
    except BaseException:  # Ctrl-C too: nothing else removes the directory
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    weakref.finalize(layers, shutil.rmtree, scratch, ignore_errors=True)
    return layers


def _sorted_out(
    names: Sequence[str], sources: Sequence[SourcePackage], apt: Apt
) -> tuple[list[str], list[SourcePackage]]:
    """Return the names that Debian has, and what has to be compiled, with what that needs."""
    debians = apt.known("r-cran-") | apt.known("r-bioc-") | apt.known("r-other-")
    paths = {one.name for one in sources}
    needed = [name for one in sources for name in one.needs if name not in paths]
    every = list(dict.fromkeys((*names, *needed)))
    ready = [name for name in every if debian_name(name) in debians]
    unknown = [SourcePackage(name, name) for name in every if debian_name(name) not in debians]
    return ready, [*unknown, *sources]


def read_r(file: Path, architecture: str) -> RLayers:
    """Read a file that `RLayers.write` wrote.

    Raises:
        ConfigurationError: The file is something else, damaged, or for another architecture.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = json.loads(archive.read(_MANIFEST))
            zips = {name: archive.read(name) for name in manifest["sha256"]}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigurationError(
            f"r_layers={str(file)!r} does not contain layers of R: {error}",
            hint="Make the file with `dolambda r-layers FILE` on Debian or Ubuntu.",
        ) from error
    for name, zipped in zips.items():
        if hashlib.sha256(zipped).hexdigest() != manifest["sha256"][name]:
            raise ConfigurationError(
                f"{name} in {str(file)!r} does not match its checksum",
                hint="It was damaged or changed. Download or build it again.",
            )
    if manifest["architecture"] != architecture:
        raise ConfigurationError(
            f"{str(file)!r} holds layers for {manifest['architecture']}, but the stack is "
            f"{architecture}",
            hint="Choose the file of that architecture, or --architecture.",
        )
    files = {name: _entries_of(zips[f"{name}.zip"]) for name in LAYERS}
    return RLayers(architecture, manifest["version"], tuple(manifest["packages"]), files)


def r_for(settings: Settings, architecture: str) -> RLayers | None:
    """Return the R layers that settings ask for, or None.

    Raises:
        ConfigurationError: The layers cannot be read or built, or lack a package.
    """
    if not (settings.r or settings.r_packages or settings.r_layers):
        return None
    if settings.r_layers is None:
        return build_r(settings.r_packages, architecture)
    layers = read_r(Path(settings.r_layers), architecture)
    missing = sorted(set(settings.r_packages) - set(layers.packages))
    if missing:
        raise ConfigurationError(
            f"r_layers={settings.r_layers!r} lacks packages: {', '.join(missing)}",
            hint="Make the file again with `dolambda r-layers FILE --r-package NAME`.",
        )
    return layers


def with_r(contents: Contents, layers: RLayers, most_layers: int, *, compress: bool) -> Contents:
    """Add R to the contents of workers. Its packages go into the bundle if layers have no room.

    Raises:
        ConfigurationError: R itself does not fit into layers.
    """
    archives = [layers.archive(name, compress=compress) for name in LAYERS]
    apart = archives[2]
    used = sum(archive.size for archive in contents.layers)
    fixed = archives[0].size + archives[1].size
    if used + fixed > _ROOM or len(contents.layers) + 2 > most_layers:
        raise ConfigurationError(
            f"R ({fixed / MB:.0f} MiB) has no room beside {len(contents.layers)} layers of"
            f" {used / MB:.0f} MiB: Lambda allows {most_layers} layers and "
            f"{UNZIPPED_LIMIT / MB:.0f} MiB",
            hint="Require fewer Python packages: `--requires` for each package that tasks need, or "
            'none (DOLAMBDA_REQUIRES="").',
        )
    packages = (*contents.packages, *(_package(layers, name) for name in LAYERS))
    if used + fixed + apart.size <= _ROOM and len(contents.layers) + len(archives) <= most_layers:
        return replaced(contents, packages=packages, layers=(*contents.layers, *archives))
    bundle = contents.bundle.joined(apart) if contents.bundle else apart
    return replaced(
        contents, packages=packages, layers=(*contents.layers, *archives[:2]), bundle=bundle
    )


def debian_name(package: str) -> str:
    """Return the name of a CRAN package in Debian."""
    return package if package.startswith("r-") else f"r-cran-{package.lower()}"


def _package(layers: RLayers, name: str) -> Package:
    size = layers.size(name)
    return Package(f"R: {name}", {}, size, size)


def _version_in(root: Path) -> str:
    """Return the version of R that was unpacked."""
    text = (root / _HOME / "library/base/DESCRIPTION").read_text(encoding="utf-8")
    return next(line.split()[1] for line in text.splitlines() if line.startswith("Version:"))


def _chosen(root: Path, compiled: Path, architecture: str, wanted: tuple[str, ...]) -> RLayers:
    """Choose from unpacked and compiled packages the files that R needs to run."""
    home = root / _HOME
    r: dict[str, bytes | Path] = {
        f"R/{place}": path for place, path in _files(home) if not place.startswith("site-library")
    }
    r |= {f"R/share/{place}": path for place, path in _files(root / "usr/share/R/share")}
    r |= {f"R/etc/{place}": path for place, path in _files(root / "etc/R")}
    r.setdefault("R/etc/Renviron", b"# the environment is set by who starts R\n")
    library = {
        f"library/{place}": path
        for directory in (home / "site-library", compiled)
        for place, path in _files(directory)
    }
    _refuse_missing(wanted, [*library, *r])
    triplet = _TRIPLETS[architecture]
    places = [root / place.format(triplet=triplet) for place in _LIBRARY_PLACES]
    subsystem: dict[str, bytes | Path] = {
        f"lib/{name}": path
        for name, path in _libraries([*r.values(), *library.values()], places).items()
    }
    loader = _LOADERS[architecture]
    subsystem[f"lib/{loader}"] = _found(loader, places)
    subsystem |= {f"locale/{place}": path for place, path in _files(root / "usr/lib/locale")}
    subsystem |= {f"zoneinfo/{place}": path for place, path in _zones(root / "usr/share/zoneinfo")}
    files: dict[str, dict[str, bytes | Path]] = {"subsystem": subsystem, "r": r}
    files["r_lib"] = dict(library)
    return RLayers(architecture, _version_in(root), wanted, files)


def _files(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files that a running R reads, with links resolved within the tree."""
    for folder, _, names in os.walk(directory, followlinks=False):
        for name in names:
            path = Path(folder, name)
            place = path.relative_to(directory)
            if _LEFT_OUT.isdisjoint(place.parts) and _DIRECTORIES.isdisjoint(place.parts[:-1]):
                real = path if path.exists() and not path.is_symlink() else _within(path, directory)
                if real is not None:
                    yield place.as_posix(), real


def _within(path: Path, directory: Path) -> Path | None:
    """Return the target of a relative link.

    Absolute links lead out of the tree: to /etc/R, which is added.
    """
    target = path.readlink() if path.is_symlink() else None
    if target is None or target.is_absolute():
        return None
    real = (path.parent / target).resolve()
    return real if real.is_file() and directory in (real, *real.parents) else None


def _zones(directory: Path) -> Iterator[tuple[str, Path]]:
    return (
        (place, path)
        for place, path in _files(directory)
        if not place.startswith(("right/", "posix/"))
    )


def _libraries(paths: Iterable[bytes | Path], places: Sequence[Path]) -> dict[str, Path]:
    """Return the shared libraries that files need, directly or indirectly, by name."""
    found: dict[str, Path] = {}
    programs = [path for path in paths if isinstance(path, Path)]
    waiting = [path for path in programs if ".so" in path.name or path.parent.name == "exec"]
    while waiting:
        for name in needed_by(waiting.pop()):
            if name not in found and name != "libR.so":
                found[name] = _found(name, places)
                waiting.append(found[name])
    return found


def _found(name: str, places: Sequence[Path]) -> Path:
    for place in places:
        path = place / name
        if path.is_symlink() or path.exists():
            real = path.resolve()
            if real.is_file():
                return real
    raise ConfigurationError(
        f"none of the packages contains the shared library {name}",
        hint="Report this: a Debian package depends on an unexpected library.",
    )


def _refuse_missing(wanted: Iterable[str], places: Iterable[str]) -> None:
    there = {place.split("/")[-2].lower() for place in places if place.endswith("/DESCRIPTION")}
    names = {name: debian_name(name).split("-", 2)[-1] for name in wanted}
    missing = [name for name, package in names.items() if package not in there]
    if missing:
        raise ConfigurationError(
            f"the Debian packages contain no R package of this name: {', '.join(missing)}",
            hint="Use the name that CRAN has.",
        )


def _entries_of(zipped: bytes) -> dict[str, bytes | Path]:
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        return {name.removeprefix(f"{FOLDER}/"): archive.read(name) for name in archive.namelist()}


def _length(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
