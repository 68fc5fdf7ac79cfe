"""The files of an own package that travel.

**Input:** a package's directory. **Output:** its files by relative name, and those that do not
travel, each with the reason.

All code travels. Some data files do not, because nobody intends to send them: hidden files, keys
and credentials, caches, files that git ignores, and links that lead out of the package. In strict
editable mode, all files are links to those of the package that its project has.
"""

from __future__ import annotations

import os
import subprocess
from fnmatch import fnmatch
from importlib.machinery import BYTECODE_SUFFIXES, all_suffixes
from pathlib import Path

_CODE = (*(suffix for suffix in all_suffixes() if suffix not in BYTECODE_SUFFIXES), ".pyi")
_SECRETS = (
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk"),
    *("credentials*", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*"),
)
_CACHES = frozenset({"__pycache__", "node_modules"})
_GIT_TIMEOUT_S = 10

HIDDEN, SECRET, CACHE, IGNORED, OUTSIDE = (
    "hidden",
    "looks like a key or credentials",
    "cache",
    "git ignores it",
    "link that leads out of the package",
)


def is_code(name: str) -> bool:
    """Return whether a file is a module: source, stub or compiled."""
    return name.endswith(_CODE)


def package_files(package: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the files that travel, and the others with their reasons.

    Both are by name relative to the package.
    """
    roots = (package.resolve(), (package / "__init__.py").resolve().parent)
    files: dict[str, Path] = {}
    left: dict[str, str] = {}
    for directory, inner, names in os.walk(package):
        here = Path(directory)
        for name in list(inner):
            reason = _directory_stays(here / name, roots[0])
            if reason:
                inner.remove(name)
                left[f"{(here / name).relative_to(package).as_posix()}/"] = reason
        for name in names:
            path = here / name
            relative = path.relative_to(package).as_posix()
            reason = _file_stays(path, roots)
            if reason:
                left[relative] = reason
            elif path.is_file():
                files[relative] = path
    data = {name: str(path.resolve()) for name, path in files.items() if not is_code(name)}
    ignored = _ignored_by_git(roots[1], list(data.values()))
    for name in [name for name, target in data.items() if target in ignored]:
        left[name] = IGNORED
        del files[name]
    return files, left


def _directory_stays(path: Path, root: Path) -> str:
    if path.name.startswith("."):
        return HIDDEN
    if path.name in _CACHES or (path / "pyvenv.cfg").exists():
        return CACHE
    # os.walk does not follow it: files that it points to inside travel from there.
    if path.is_symlink():
        return OUTSIDE if root not in path.resolve().parents else CACHE
    return ""


def _file_stays(path: Path, roots: tuple[Path, ...]) -> str:
    if path.name.startswith("."):
        return HIDDEN
    if path.suffix == ".pyc" and path.with_suffix(".py").exists():
        return CACHE
    name = path.name.lower()
    if is_code(name):
        return ""
    if path.is_symlink() and not set(roots) & set(path.resolve().parents):
        return OUTSIDE
    return SECRET if any(fnmatch(name, pattern) for pattern in _SECRETS) else ""


def _ignored_by_git(package: Path, names: list[str]) -> set[str]:
    """Return the files that git ignores, or none without a repository or git."""
    if not names or not any((place / ".git").exists() for place in package.parents):
        return set()
    try:
        done = subprocess.run(
            ["git", "check-ignore", "-z", "--stdin"],  # noqa: S607 - the user's git
            input="\0".join(names),
            capture_output=True,
            text=True,
            cwd=package,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(done.stdout.split("\0"))
