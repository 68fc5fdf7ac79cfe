"""When the user's own modules are bundled anew. On entry: settings; on leaving: the bundle as it is to be sent now."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from dolambda.environment.code import bundle

if TYPE_CHECKING:
    from dolambda.settings import Settings
    from dolambda.wire.blob import Blob


class OwnModules:
    """The bundle of the user's own modules, made anew for each run and when something was imported since."""

    def __init__(self, settings: Settings) -> None:
        """What to include and exclude besides."""
        self._settings = settings
        self._lock = threading.Lock()
        self._seen = -1
        self._bundle: Blob | None = None

    def look_again(self) -> None:
        """A run begins: modules may have been edited and reloaded."""
        with self._lock:
            self._seen = -1

    def __call__(self) -> Blob | None:
        """Give the bundle, None when there is nothing of the user's own."""
        with self._lock:
            if len(sys.modules) != self._seen:
                self._bundle = bundle(
                    include=self._settings.include_code, exclude=self._settings.exclude_code
                )
                self._seen = len(sys.modules)
            return self._bundle
