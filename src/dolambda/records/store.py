"""The directory of records. Only its owner can read it, and its size is limited.

**Input:** the id of a new run, or a name that a user gave. **Output:** a file.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from dolambda.errors import ConfigurationError
from dolambda.records.file_format import footer_of, header_of
from dolambda.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterable

LAST = "last"
_SUFFIX = ".run"
_DAY_S = 86_400
_END_BYTES = 1 << 16


def records_directory() -> Path:
    """Return the directory of records."""
    return Path(platformdirs.user_state_dir("dolambda")) / "runs"


def read_ends(path: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return a file's header, and its footer if it has one, without reading the tasks.

    Raises:
        OSError: It was removed, or cannot be read.
        ConfigurationError: It is no record, or one of another version.
    """
    with path.open("rb") as file:
        header = header_of(file.read(_END_BYTES), str(path))
        file.seek(max(0, path.stat().st_size - _END_BYTES))
        return header, footer_of(file.read())


@dataclass(frozen=True)
class RecordStore:
    """Files of runs. The oldest are removed when a limit is exceeded."""

    directory: Path
    max_runs: int = 200
    max_bytes: int = 500_000_000
    max_days: float = 90

    def create(self, run: str) -> int:
        """Open a new file for appending.

        Returns:
            Its descriptor.

        Raises:
            OSError: The file cannot be created.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        self.prune(self.max_runs - 1)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(self.path_of(run), flags, 0o600)

    def path_of(self, run: str) -> Path:
        """Return the file of a run, whether it exists or not."""
        return self.directory / f"{run}{_SUFFIX}"

    def paths(self) -> list[Path]:
        """Return all files, the most recently written first."""
        return [path for _, _, path in self._dated()]

    def find(self, name: str) -> Path:
        """Return the file of the run named by an id, the beginning of an id, or "last".

        The name of a named run means its latest start.
        """
        known = {self.id_of(path): path for path in self.paths()}
        if name in known:
            return known[name]
        if name == LAST and known:
            return next(iter(known.values()))
        starts = [one for one in known if re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{8}}", one)]
        if starts:  # of a named run: the latest
            return known[starts[0]]
        fitting = [one for one in known if name and one.startswith(name)]
        if len(fitting) == 1:
            return known[fitting[0]]
        if fitting:
            raise ConfigurationError(
                f"{count(len(fitting), 'run')} have names that begin with {name!r}: "
                f"{listing(sorted(fitting))}",
                hint="Use a longer part of the name.",
            )
        raise ConfigurationError(
            f"no run {name!r} is recorded", hint="`dolambda runs` lists all runs."
        )

    @staticmethod
    def id_of(path: Path) -> str:
        """Return the id of the run that a file records."""
        return path.name.removesuffix(_SUFFIX)

    def prune(self, keep: int) -> None:
        """Remove files that are too old, then the oldest until the limits are met."""
        oldest = time.time() - self.max_days * _DAY_S
        total = 0
        for position, (changed, size, path) in enumerate(self._dated()):
            total += size
            if position >= keep or total > self.max_bytes or changed < oldest:
                with contextlib.suppress(FileNotFoundError):  # another process has removed it
                    path.unlink()

    def _dated(self) -> Iterable[tuple[float, int, Path]]:
        found = []
        for path in self.directory.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat(follow_symlinks=False)
                found.append((facts.st_mtime, facts.st_size, path))
        return sorted(found, reverse=True)
