"""The directories of this user's emulated AWSs, and the checks before they are trusted.

    <runtime directory>/dolambda, or <temporary directory>/dolambda-<user id>
        <name>/            one directory for each instance; `dolambda local start` uses "shared"

Other users may write into the temporary directory. So a directory is used only if it is a directory
and no link, belongs to this user and is closed to all others. Only directories that contain an
``instance.json`` are ever removed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dolambda.errors import ConfigurationError, LocalAwsError

try:
    import fcntl
except ModuleNotFoundError:  # on Windows, where AWS cannot be emulated
    fcntl = None  # type: ignore[assignment]

_YOUNG = 15  # seconds in which a directory may still wait for its guardian
_HINT = "Set TMPDIR to a directory that only you can access."


def refuse_windows() -> None:
    """Raise `ConfigurationError` where AWS cannot be emulated."""
    if fcntl is None:
        raise ConfigurationError(
            "AWS cannot be emulated on Windows",
            hint="Use WSL, or a stack on AWS: `dolambda deploy`.",
        )


def home() -> Path:
    """Return the directory of this user's instances. It need not exist.

    TMPDIR, if it is set, takes precedence over XDG_RUNTIME_DIR.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and not os.environ.get("TMPDIR"):
        with contextlib.suppress(OSError):
            if not _objection(Path(runtime)):
                return Path(runtime, "dolambda")
    return Path(tempfile.gettempdir(), f"dolambda-{os.geteuid()}")


def checked_home(*, make: bool = False) -> Path:
    """Return `home` after a check that nobody else can have written to it.

    Raises:
        LocalAwsError: The directory cannot be made or trusted.
    """
    refuse_windows()
    place = home()
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                place.mkdir(mode=0o700)
        why = _objection(place) or objection_to_parent(place.parent)
    except FileNotFoundError:
        if not make:
            return place
        raise LocalAwsError(f"{place.parent} does not exist", hint=_HINT) from None
    except OSError as error:
        raise LocalAwsError(f"{place} cannot be created: {error.strerror}", hint=_HINT) from error
    if why:
        raise LocalAwsError(f"{place} cannot be trusted: {why}", hint=_HINT)
    return place


def objection(place: Path) -> str:
    """Return why another user may have written into a directory, "" if nobody can.

    Raises:
        OSError: The directory does not exist.
    """
    return objection_to_parent(place.parent) or _objection(place)


def _objection(place: Path) -> str:
    """Return why a directory cannot be trusted, "" if it can.

    Raises:
        OSError: The directory does not exist.
    """
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return f"{place} is a link or a file, not a directory"
    if found.st_uid != os.geteuid():
        return f"{place} belongs to user {found.st_uid}, but this is user {os.geteuid()}"
    if found.st_mode & 0o077:
        return f"{place} is open to other users (mode {found.st_mode & 0o777:03o}, not 700)"
    return ""


def objection_to_parent(parent: Path) -> str:
    """Return why others could rename the contents of a directory, "" if they cannot."""
    found = parent.stat()
    if found.st_uid not in (0, os.geteuid()):
        return f"{parent} belongs to user {found.st_uid}, who can rename its contents"
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        return f"other users can rename the contents of {parent}"
    return ""


def instances() -> list[Path]:
    """Return the directories of all instances, alive or not.

    Raises:
        LocalAwsError: The directory of instances cannot be trusted.
    """
    with contextlib.suppress(FileNotFoundError):
        return sorted(path for path in checked_home().iterdir() if _is_instance(path))
    return []


def _is_instance(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return not _objection(path) and (path / "instance.json").is_file()
    return False


def sweep() -> list[str]:
    """Remove the instances whose guardian was killed.

    Returns:
        Their names.

    Raises:
        LocalAwsError: The directory of instances cannot be trusted.
    """
    swept = []
    for directory in instances():
        if _is_young(directory) or is_alive(directory):
            continue
        remove(directory)
        swept.append(directory.name)
    with contextlib.suppress(OSError):
        home().rmdir()
    return swept


def _is_young(directory: Path) -> bool:
    """Return whether an instance may be starting, or has just gone: others sweep too."""
    try:
        age = time.time() - directory.stat().st_mtime
    except FileNotFoundError:
        return True
    return age < _YOUNG and not (directory / "state.json").exists()


def remove(directory: Path) -> None:
    """End the remaining processes of an instance without a guardian, and remove it."""
    scratch = Path(read(directory, "instance.json").get("scratch") or directory)
    group = read(directory, "state.json").get("group")
    if group and _is_emulator(group, scratch):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    for process in _workers(scratch):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
    with contextlib.suppress(OSError):
        if not _objection(scratch):
            shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def is_alive(directory: Path) -> bool:
    """Return whether its guardian lives, that is whether its lock is held.

    A process number alone may belong to another process by now.
    """
    return is_locked(directory / "lock")


def is_locked(path: Path) -> bool:
    """Return whether another open file holds the lock of this one."""
    try:
        with path.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        # Without a free descriptor the lock cannot be tested, and a used instance must not be
        # removed.
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def read(directory: Path, name: str) -> dict[str, Any]:
    """Return the content of an instance's file, {} if there is none yet."""
    try:
        found: dict[str, Any] = json.loads((directory / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def limits_cpu(endpoint_url: str | None) -> bool:
    """Return whether an instance of this user at that URL limits CPU as Lambda does."""
    if endpoint_url is None or fcntl is None:
        return False
    try:
        instances_of_user = checked_home().glob("*/instance.json")
    except LocalAwsError:  # another user may have written there
        return False
    for file in instances_of_user:
        wanted = read(file.parent, file.name)
        if wanted.get("endpoint_url") == endpoint_url:
            return bool(wanted.get("environment", {}).get("DOLAMBDA_LOCAL_SANDBOX") == "cpu")
    return False


def _is_emulator(group: int, scratch: Path) -> bool:
    """Return whether that process group is still the instance's emulator.

    The number may belong to other processes by now.
    """
    asked = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(group)],  # noqa: S607 - POSIX has it
        capture_output=True,
        text=True,
        check=False,
    )
    return str(scratch) in asked.stdout


def _workers(scratch: Path) -> list[int]:
    """Return the processes of an instance's workers and tasks, which have a TMPDIR of it.

    Linux only.
    """
    if sys.platform != "linux":
        return []
    below = f"TMPDIR={scratch / 'tmp'}"
    wanted = {below.encode(), f"{below}/functions".encode()}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if not wanted.isdisjoint((process / "environ").read_bytes().split(b"\0")):
                found.append(int(process.name))
    return found
