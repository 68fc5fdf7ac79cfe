"""Records that are read further as their files grow. Each part of a file is read once.

**Input:** the directory of records. **Output:** `WatchedRun`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError
from dolambda.records.file_format import Block, RecordReader, RunRecord
from dolambda.records.state import RUNNING, run_state
from dolambda.records.store import read_ends

if TYPE_CHECKING:
    from pathlib import Path

    from dolambda.records.store import RecordStore

_MAX_READERS = 8  # a record of 100,000 tasks takes some 10 MB


@dataclass(frozen=True)
class WatchedRun:
    """The current state of one run. ``version`` changes with its record or its state."""

    record: RunRecord
    state: str
    version: str

    @property
    def is_running(self) -> bool:
        """True if its record may still grow."""
        return self.state == RUNNING


class WatchedRuns:
    """The runs of a directory.

    Not thread-safe: the returned records grow with the next call.
    """

    def __init__(self, store: RecordStore) -> None:
        """Prepare the runs. Nothing is read."""
        self._store = store
        self._tails: dict[str, _Tail] = {}

    def latest(self) -> list[WatchedRun]:
        """Return all runs, the latest first. Ended runs have no tasks."""
        found = []
        for path in self._store.paths():
            try:
                header, footer = read_ends(path)
            except (OSError, ConfigurationError):  # it was just removed, or has another version
                continue
            state = run_state(header, footer)
            ended = WatchedRun(RunRecord(header, Block(), footer), state, "")
            watched = self.run(header["id"]) if state == RUNNING else None
            found.append(watched or ended)
        return found

    def run(self, name: str) -> WatchedRun | None:
        """Return the run with that id, or None.

        The id is compared with those of the files, and never used as a path.
        """
        paths = {self._store.id_of(path): path for path in self._store.paths()}
        if name not in paths:
            return None
        tail = self._tails.pop(name, None) or _Tail(paths[name])
        try:
            watched = tail.read()
        except (OSError, ConfigurationError):  # it was just removed, or has another version
            return None
        self._tails[name] = tail  # the last requested one is the last
        while len(self._tails) > _MAX_READERS:
            del self._tails[next(iter(self._tails))]
        return watched


class _Tail:
    """One file, read as far as it was written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = RecordReader()
        self._read = 0

    def read(self) -> WatchedRun:
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        self._reader.feed(data)
        record = self._reader.record
        if not record.header:
            raise ConfigurationError("this record has no header yet")
        state = run_state(record.header, record.footer)
        return WatchedRun(record, state, f"{self._read}-{state}")
