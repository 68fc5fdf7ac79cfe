"""Requirements to a layer. On entry: pinned requirements and a platform; on leaving: a `Layer`, one zip named by content.

uv resolves and downloads wheels for the Lambda platform in seconds and needs no Docker. What no program runs is stripped:
tests, caches, stubs. Shared objects are left as they are: stripping them breaks some.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from dolambda.environment.archive import digest_of, files_below, make_zip
from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

UNZIPPED_LIMIT = 250 << 20
"""Bytes that Lambda allows for code and layers together, unzipped."""

_DIRECTORIES = frozenset({"tests", "test", "__pycache__", "include"})
_SUFFIXES = (".pyi", ".pyx", ".pxd", ".c", ".h", ".hpp", ".pyc", ".a")
# Packages whose public API lives in a directory named like tests.
_KEEP = ("numpy/testing", "numpy/_core/tests/_natype.py", "sklearn/utils/_test_common")
_PATIENCE = 600


@dataclass(frozen=True)
class Layer:
    """A zip for /opt. Sizes are in bytes, unzipped, before and after stripping."""

    requires: tuple[str, ...]
    content: bytes = field(repr=False)
    unstripped: int
    size: int

    @property
    def digest(self) -> str:
        """Name of the content."""
        return digest_of(self.content)


@dataclass(frozen=True)
class Platform:
    """What wheels must fit: Python minor version, and uv's name of the platform (None: this machine)."""

    python: str
    name: str | None


def build_layer(requires: Sequence[str], platform: Platform, *, compress: bool = True) -> Layer | None:
    """Resolve, download, strip and zip; None when nothing is required. Raises `ConfigurationError`."""
    if not requires:
        return None
    with tempfile.TemporaryDirectory(prefix="dolambda-layer-") as scratch:
        target = Path(scratch, "python")
        _install(requires, platform, target)
        unstripped = _size(files_below(target))
        _strip(target)
        kept = files_below(target)
        size = _size(kept)
        if size > UNZIPPED_LIMIT:
            raise _too_large(kept, size)
        content = make_zip({f"python/{name}": path for name, path in kept.items()}, compress=compress)
        return Layer(tuple(requires), content, unstripped, size)


def _install(requires: Sequence[str], platform: Platform, target: Path) -> None:
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--target", str(target), "--only-binary", ":all:"]
    command += ["--python", sys.executable, "--python-version", platform.python]
    if platform.name:
        command += ["--python-platform", platform.name]
    try:
        done = subprocess.run([*command, *requires], capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603 - our own command
    except subprocess.TimeoutExpired as error:
        msg = f"downloading {', '.join(requires)} took more than {_PATIENCE} s"
        raise ConfigurationError(msg, mend="Is the package registry reachable?") from error
    if done.returncode:
        msg = f"requires {', '.join(requires)} could not be resolved for Python {platform.python} on {platform.name or 'this machine'}"
        raise ConfigurationError(msg, mend=f"uv says:\n{done.stderr.strip()}")


def _strip(target: Path) -> None:
    shutil.rmtree(target / "bin", ignore_errors=True)
    for path in sorted(target.rglob("*"), reverse=True):
        name = path.relative_to(target).as_posix()
        if name.startswith(_KEEP):
            continue
        if path.is_dir() and path.name in _DIRECTORIES and not any(keep.startswith(name + "/") for keep in _KEEP):
            shutil.rmtree(path)
        elif path.is_file() and name.endswith(_SUFFIXES):
            path.unlink()


def _size(entries: dict[str, bytes | Path]) -> int:
    return sum(path.stat().st_size for path in entries.values() if isinstance(path, Path))


def _too_large(kept: dict[str, bytes | Path], size: int) -> ConfigurationError:
    packages: dict[str, int] = {}
    for name, path in kept.items():
        if isinstance(path, Path):
            package = name.split("/")[0]
            packages[package] = packages.get(package, 0) + path.stat().st_size
    largest = sorted(packages.items(), key=lambda item: -item[1])[:8]
    table = "\n".join(f"    {name:<30} {nbytes / 2**20:8.1f} MiB" for name, nbytes in largest)
    msg = f"the layer would be {size / 2**20:.0f} MiB unzipped; Lambda allows {UNZIPPED_LIMIT >> 20} MiB"
    return ConfigurationError(msg, mend=f"Require less. The largest packages are:\n{table}")
