"""The project's own pyproject.toml, and no other.

**Input:** the working directory. **Output:** the table [tool.dolambda] of the nearest
pyproject.toml, searched for up to the root of the repository or the home directory.

The file decides where AWS is, whose replies are unpickled, and which packages are installed. So it
must belong to the user (or to root), in a directory that no other user can write to.
"""

from __future__ import annotations

import os
import stat
import tomllib
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dolambda.errors import ConfigurationError
from dolambda.users_frame import users_stacklevel

_NAME = "pyproject.toml"


@dataclass(frozen=True)
class ProjectFile:
    """The file, or None if there is none, and its table."""

    path: Path | None = None
    table: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def find(cls, directory: Path | None = None) -> ProjectFile:
        """Read the nearest file from ``directory`` (default: the working directory) upwards.

        A file that is not trusted causes a warning.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        path = nearest_file(directory)
        if path is None:
            return cls()
        why = _distrust(path)
        if why is None:
            return cls(path, _read(path))
        try:
            distrusted = _read(path)
        except ConfigurationError:  # the file is not used, so its errors do not matter
            return cls()
        if distrusted:
            warnings.warn(
                f"[tool.dolambda] in {path} is not used: {why}", stacklevel=users_stacklevel()
            )
        return cls()


def nearest_file(directory: Path | None = None) -> Path | None:
    """Return the pyproject.toml that applies to a directory, or None."""
    try:
        begin = Path.cwd() if directory is None else directory.absolute()
    except OSError:  # the working directory was deleted
        return None
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home raises if there is none
    for folder in (begin, *begin.parents):
        # Path.is_file raises without permission.
        if os.path.isfile(folder / _NAME):  # noqa: PTH113
            return folder / _NAME
        if folder == home or os.path.exists(folder / ".git"):  # noqa: PTH110 - Path.exists raises
            return None
    return None


def _distrust(path: Path) -> str | None:
    """Return why a file is not trusted, or None if it is."""
    try:
        real = path.resolve(strict=True)
        found = [(place, place.stat()) for place in (real, path.parent, real.parent)]
    except OSError as error:
        return f"it cannot be inspected ({error.strerror})"
    if not hasattr(os, "geteuid"):  # Windows has other permissions
        return None
    for place, status in found:
        if status.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to another user"
        if status.st_mode & stat.S_IWOTH or (
            status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid)
        ):
            return f"others can write to {place}"
    return None


def _is_private(group: int) -> bool:
    """Return whether a group has only the user as a member.

    A user's own group is such a group on most systems.
    """
    if group == 0 and os.geteuid() == 0:
        return True
    import grp  # noqa: PLC0415 - Windows has no such module
    import pwd  # noqa: PLC0415

    try:
        user, named = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:  # a user or group without an entry, as in containers
        return False
    own = group == user.pw_gid and named.gr_name == user.pw_name
    return own and set(named.gr_mem) <= {user.pw_name}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}", hint="Settings are read from it."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start:,}",
            hint="Save it as UTF-8, which TOML requires.",
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} is not valid TOML: {error}", hint="Correct it: settings are read from it."
        ) from error
    for name in ("tool", "dolambda"):
        content = content.get(name, {})
        if not isinstance(content, dict):
            table = "[tool]" if name == "tool" else "[tool.dolambda]"
            raise ConfigurationError(
                f"{table} in {path} is not a table",
                hint='Write settings below a line [tool.dolambda], such as stack = "mine".',
            )
    return content
