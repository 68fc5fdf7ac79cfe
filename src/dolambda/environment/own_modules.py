"""The code archive of a session, made again after changes.

**Input:** settings. **Output:** the current archive.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.environment.code import CodeFiles, collect
from dolambda.wire.pickler import imported_names

if TYPE_CHECKING:
    from dolambda.settings import Settings
    from dolambda.wire.blob import Blob


class OwnModules:
    """The archive of the user's own modules.

    It is checked for each run, and after something was imported or a function was pickled that
    imports more.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare the archive. ``settings`` contain the names to include and exclude."""
        self._settings = settings
        self._lock = threading.Lock()
        self._seen = (-1, -1)
        self._state: object = None
        self._archive: Blob | None = None

    def look_again(self) -> None:
        """Check the files again: before a new run, modules may have been edited and reloaded."""
        with self._lock:
            self._seen = (-1, -1)

    def __call__(self) -> Blob | None:
        """Return the archive, or None if there are no own modules."""
        with self._lock:
            seen = (len(sys.modules), len(imported_names))
            if seen != self._seen:
                files = collect(
                    names=sorted(imported_names),
                    include=self._settings.include_code,
                    exclude=self._settings.exclude_code,
                )
                state = _state(files)
                if state != self._state:
                    self._archive = files.archive()
                    self._state = state
                self._seen = (len(sys.modules), seen[1])
            return self._archive


def _state(files: CodeFiles) -> object:
    """Return what the archive depends on, without reading files."""
    return {
        place: (content, content.stat().st_mtime_ns, content.stat().st_size)
        if isinstance(content, Path)
        else content
        for place, content in files.entries.items()
    }
