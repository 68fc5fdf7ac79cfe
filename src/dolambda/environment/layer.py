"""Requirements to layers, and to a bundle for what exceeds the layers.

**Input:** requirements and a platform. **Output:** `Contents`, zips named by content.

There are two ways. uv resolves and downloads wheels for the Lambda platform in seconds, without
Docker. For AWS emulated on this machine, the installed packages are taken as they are. Files that
no program imports or reads are left out (tests, caches). Shared objects stay unchanged: stripping
them breaks some.

A large package has a layer to itself, the small ones share one, so upgrading a package uploads one
layer. Packages that exceed Lambda's 250 MB travel as a bundle in the bucket, which a cold worker
unpacks into /tmp.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import weakref
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from dolambda.environment.archive import digest_of_files, files_below, make_zip
from dolambda.environment.package_files import is_code
from dolambda.environment.requirements import (
    base_names,
    installed_here,
    normalised,
    not_among,
    pinned,
    pins,
    version_of,
    versions_here,
)
from dolambda.errors import ConfigurationError
from dolambda.running_process import is_running
from dolambda.wording import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from importlib.metadata import Distribution

MB = 1 << 20
UNZIPPED_LIMIT = 250 * MB
"""Bytes that Lambda allows for code and layers together, unzipped."""

MOST_LAYERS = 5
_ROOM = 245 * MB  # the rest is for the function's own code
_LARGE = 15 * MB
_SPARE = 64  # MB of /tmp that are left free beside the bundle
_STORAGE_LIMIT = 10_240 * MB
_PATIENCE = 600
_SCRATCH = "dolambda-layer-"
_ON_AMAZON_LINUX_2 = "3.11"
_NO_WHEEL = re.compile(r"\b(\w[\w.-]*(?:==[\w.!+]+)?) has no (?:usable )?wheels\b")  # uv's words

_TEST_DIRECTORIES = frozenset({"tests", "test"})
_TEST_FILES = re.compile(r"test_.*\.py|.*_test\.py")
_BUILD_SUFFIXES = (".a", ".pyx", ".pxd")
_NAMED = 4  # packages of a layer that are listed by name


@dataclass(frozen=True)
class Platform:
    """The platform that wheels must fit.

    Attributes:
        python: Minor version of Python.
        name: uv's name of the platform. None for this machine.
    """

    python: str
    name: str | None

    def __str__(self) -> str:
        """Return the name for a message."""
        return f"Python {self.python} on {self.name or 'this machine'}"


@dataclass(frozen=True)
class Package:
    """One installed package: its files by their name on the import path.

    Sizes are in bytes, before and after stripping.
    """

    name: str
    files: dict[str, Path] = field(repr=False)
    unstripped: int
    size: int

    @classmethod
    def from_files(cls, name: str, files: dict[str, Path]) -> Package:
        """Return the package without files that no program uses."""
        sizes = {place: path.stat().st_size for place, path in files.items()}
        kept = {place: path for place, path in files.items() if _is_run(place)}
        return cls(name, kept, sum(sizes.values()), sum(sizes[place] for place in kept))


class Archive:
    """Packages in one zip, a layer or the bundle.

    The content of its files names it. It is zipped only if it has to be uploaded.
    """

    def __init__(
        self,
        packages: Iterable[str],
        entries: Mapping[str, bytes | Path],
        size: int,
        *,
        compress: bool,
    ) -> None:
        """Describe a zip. ``size`` is in bytes, unzipped."""
        self.packages = tuple(sorted(packages))
        self.size = size
        self.entries = entries
        self._compress = compress

    @cached_property
    def digest(self) -> str:
        """Name of the content."""
        return digest_of_files(self.entries)

    @cached_property
    def content(self) -> bytes:
        """The zip."""
        return make_zip(self.entries, compress=self._compress)

    def joined(self, other: Archive) -> Archive:
        """Return an archive with the content of both."""
        return Archive(
            (*self.packages, *other.packages),
            {**self.entries, **other.entries},
            self.size + other.size,
            compress=self._compress,
        )

    def __str__(self) -> str:
        """Return one line for the user."""
        others = len(self.packages) - _NAMED
        names = ", ".join(self.packages[:_NAMED]) + (f" and {others} more" if others > 0 else "")
        return f"{names}: {self.size / MB:.0f} MiB"


@dataclass(frozen=True)
class Contents:
    """All that is installed on workers.

    ``requires`` are the pins, for the comparison with a client's packages.
    """

    requires: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()
    layers: tuple[Archive, ...] = ()
    bundle: Archive | None = None

    @property
    def storage(self) -> int:
        """MB of /tmp that the bundle needs, 0 without a bundle.

        This is its unpacked size, and its zip, which is at most as large.
        """
        return -(-2 * self.bundle.size // MB) + _SPARE if self.bundle else 0


def build(
    requires: Sequence[str] | None,
    platform: Platform,
    *,
    extra: Sequence[str] = (),
    exclude: Iterable[str] = (),
    most_layers: int = MOST_LAYERS,
    compress: bool = True,
) -> Contents:
    """Collect, strip, arrange and zip packages.

    Args:
        requires: Requirements to install. None for the packages installed locally.
        platform: The platform that wheels must fit.
        extra: Further requirements.
        exclude: Locally installed packages to leave out.
        most_layers: Largest number of layers.
        compress: False for zips that stay on this machine.

    Returns:
        The layers and the bundle.

    Raises:
        ConfigurationError: A requirement cannot be resolved, or the packages are too large.
    """
    more = pinned(extra)
    found = {} if requires is not None else installed_here(exclude, base_names(extra))
    if requires is None and platform.name is None:
        wanted: tuple[str, ...] = tuple(not_among(more, found))  # not installed locally
        names = (*(f"{name}=={version_of(one)}" for name, one in found.items()), *wanted)
        packages = [_from_installed(*item) for item in found.items()]
    else:
        asked = pins(found) if requires is None else pinned(requires)
        wanted = tuple(dict.fromkeys([*asked, *more]))
        names, packages = wanted, []
    if not wanted:
        return _arranged(names, packages, most_layers, compress=compress)
    _sweep()
    scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-"))
    try:
        _install_as_here(wanted, platform, scratch)
        copied = {one.name for one in packages}
        packages += [one for one in _from_directory(scratch) if one.name not in copied]
        contents = _arranged(names, packages, most_layers, compress=compress)
    except BaseException:  # Ctrl-C too: nothing else removes the directory
        shutil.rmtree(scratch)
        raise
    # The zips are made from the directory when they are needed.
    weakref.finalize(contents, shutil.rmtree, scratch)
    return contents


def table(contents: Contents, most: int = 8) -> list[str]:
    """Return the largest packages, and the bytes saved by stripping, as lines of text."""
    packages = sorted(contents.packages, key=lambda package: -package.size)
    lines = [
        (
            f"{package.name:<24}{package.size / MB:8.1f} "
            f"MiB{(package.unstripped - package.size) / MB:8.1f} stripped"
        )
        for package in packages[:most]
    ]
    rest = packages[most:]
    if rest:
        lines.append(
            f"{f'{len(rest)} more':<24}{sum(package.size for package in rest) / MB:8.1f} MiB"
        )
    total, saved = (
        sum(package.size for package in packages),
        sum(package.unstripped - package.size for package in packages),
    )
    return [
        *lines,
        (
            f"{'together':<24}{total / MB:8.1f} MiB{saved / MB:8.1f} stripped; layers hold "
            f"{UNZIPPED_LIMIT / MB:.0f}"
        ),
    ]


def _arranged(
    requires: tuple[str, ...],
    packages: Sequence[Package],
    most_layers: int = MOST_LAYERS,
    *,
    compress: bool,
) -> Contents:
    """Arrange packages in layers and a bundle.

    The largest packages go into the bundle until the rest fits into layers. Each large package of
    the rest gets a layer of its own.
    """
    rest = sorted(
        (package for package in packages if package.files), key=lambda package: package.size
    )
    over: list[Package] = []
    while sum(package.size for package in rest) > _ROOM:
        over.append(rest.pop())
    large = rest[max(0, len(rest) - most_layers + 1) :] if most_layers > 1 else []
    alone = [package for package in large if package.size > _LARGE]
    groups = [[package] for package in alone] + [
        [package for package in rest if package not in alone]
    ]
    layers = tuple(_zipped(group, "python/", compress=compress) for group in groups if group)
    bundle = _zipped(over, "", compress=compress) if over else None
    contents = Contents(requires, tuple(packages), layers, bundle)
    if contents.storage * MB > _STORAGE_LIMIT:
        lines = "\n    ".join(table(contents))
        raise ConfigurationError(
            "the packages of the workers take "
            f"{sum(package.size for package in packages) / MB:,.0f} MiB, more than layers "
            "and /tmp hold",
            hint=f"Require less, or exclude= what tasks do not need:\n    {lines}",
        )
    return contents


def _zipped(packages: Sequence[Package], below: str, *, compress: bool) -> Archive:
    entries: dict[str, bytes | Path] = {
        f"{below}{place}": path for package in packages for place, path in package.files.items()
    }
    return Archive(
        (package.name for package in packages),
        entries,
        sum(package.size for package in packages),
        compress=compress,
    )


def _from_installed(name: str, found: Distribution) -> Package:
    root = str(found.locate_file(""))
    places = _recorded(found) or _places_of_unrecorded(found)
    located = {
        place: os.path.join(root, place)  # noqa: PTH118 - tens of thousands of files
        for place in places
        if not place.startswith(("..", "/"))
    }
    return Package.from_files(
        name,
        {place: Path(path) for place, path in located.items() if os.path.isfile(path)},  # noqa: PTH113
    )


def _recorded(found: Distribution) -> list[str]:
    """Return the names of a package's files. `Distribution.files` takes 0.1 ms for each."""
    record = found.read_text("RECORD")
    if record is None:
        return [file.as_posix() for file in found.files or []]
    return [row[0] for row in csv.reader(record.splitlines()) if row]


def _places_of_unrecorded(found: Distribution) -> list[str]:
    """Return the files of a package without a list of them, such as one of a Linux distribution."""
    root = Path(str(found.locate_file("")))
    tops = (found.read_text("top_level.txt") or found.metadata["Name"].replace("-", "_")).split()
    places = []
    for top in tops:
        modules = [path for path in root.glob(f"{top}.*") if is_code(path.name)]
        below = [path for path in (root / top).rglob("*") if path.is_file()]
        places += [path.relative_to(root).as_posix() for path in modules + below]
    return places


def _from_directory(target: Path) -> list[Package]:
    """Return the packages of a directory that uv installed into, separated by their records."""
    left = {place: path for place, path in files_below(target).items() if isinstance(path, Path)}
    packages = []
    for record in sorted(target.glob("*.dist-info/RECORD")):
        places = [
            line.rsplit(",", 2)[0].strip('"')
            for line in record.read_text(encoding="utf-8").splitlines()
        ]
        files = {
            place: left.pop(place)
            for place in places
            if place in left and not place.startswith("bin/")
        }
        packages.append(Package.from_files(normalised(record.parent.name.split("-")[0]), files))
    return packages


def _install_as_here(requires: Sequence[str], platform: Platform, target: Path) -> None:
    """Install with the local versions of all dependencies, or with others if that is impossible."""
    try:
        _install(requires, platform, target, versions_here())
    except ConfigurationError as error:
        if isinstance(error.__cause__, subprocess.TimeoutExpired):
            raise
    else:
        return
    # Outside of the handler, so that an error of the second attempt is shown alone.
    _install(requires, platform, target)


def _install(
    requires: Sequence[str], platform: Platform, target: Path, constraints: Sequence[str] = ()
) -> None:
    command = [
        uv.find_uv_bin(),
        "pip",
        "install",
        "--quiet",
        "--target",
        str(target),
        "--only-binary",
        ":all:",
    ]
    command += ["--python", sys.executable, "--python-version", platform.python]
    if platform.name:
        command += ["--python-platform", platform.name]
    if constraints:
        listed = target.with_suffix(".constraints")
        listed.write_text("\n".join(constraints), encoding="utf-8")
        command += ["--constraints", str(listed)]
    try:
        done = subprocess.run(
            [*command, *requires], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(
            f"downloading {', '.join(requires)} took more than {_PATIENCE} s",
            hint="Check that the package registry can be reached.",
        ) from error
    finally:
        target.with_suffix(".constraints").unlink(missing_ok=True)
    if done.returncode:
        raise _unresolved(requires, platform, done.stderr.strip())


def _unresolved(requires: Sequence[str], platform: Platform, said: str) -> ConfigurationError:
    if "wheel" in said:
        lacking = listing(sorted(set(_NO_WHEEL.findall(said))) or ["a requirement"])
        msg = f"no wheel of {lacking} for {platform}, and dolambda does not build wheels"
        hint = "Check the name. Use a version that has a wheel, or another architecture, "
        hint += "or leave it out (exclude=). "
        if platform.name and platform.python == _ON_AMAZON_LINUX_2:
            hint += (
                "Lambda runs Python 3.11 on Amazon Linux 2 (glibc 2.26). Recent packages need a "
                "newer one: use Python 3.12 or later, or older versions, such as numpy<2.3 and "
                "scipy<1.16. "
            )
    else:
        msg = f"requires {', '.join(requires)} could not be resolved for {platform}"
        hint = ""
    return ConfigurationError(msg, hint=f"{hint}uv says:\n{said}")


def _sweep() -> None:
    """Remove the directories that killed processes left behind."""
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        process = left.name.removeprefix(_SCRATCH).split("-")[0]
        if process.isdecimal() and not is_running(int(process)):
            shutil.rmtree(left, ignore_errors=True)


def _is_run(place: str) -> bool:
    """Return whether a program may import or read the file.

    In directories of tests only the tests themselves are left out.

    Two kinds of files stay although they look useless: stubs, which lazy_loader reads, and headers,
    which compilers on the worker read.
    """
    *directories, name = place.split("/")
    if "__pycache__" in directories or name.endswith(_BUILD_SUFFIXES):
        return False
    return not (_TEST_DIRECTORIES.intersection(directories) and _TEST_FILES.fullmatch(name))
