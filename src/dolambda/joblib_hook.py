"""Hook that makes joblib know the name "dolambda", on both ends, without importing joblib.

**Input:** ``import dolambda``. **Output:** an entry in joblib's table of backends, at once if
joblib is already imported, otherwise when it is imported.

joblib has no entry points, and importing it here would make `import dolambda` ten times as slow.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_TABLE = "joblib.parallel"


def install_import_hook() -> None:
    """Add the entry to joblib's table, now or when joblib is imported."""
    if _TABLE in sys.modules:
        _enter(sys.modules[_TABLE])
    else:
        sys.meta_path.insert(0, JoblibFinder())


class JoblibFinder:
    """Finder that waits for joblib to be imported, and finds nothing itself.

    It lacks importlib's base class, whose module takes 3 ms to import.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the import system's signature
        target: ModuleType | None = None,  # noqa: ARG002 - the import system's signature
    ) -> ModuleSpec | None:
        """Return joblib's spec with a loader that adds the entry."""
        if fullname != _TABLE:
            return None
        import importlib.util  # noqa: PLC0415 - only when joblib is imported

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec and spec.loader:
            # It works like importlib's base class, see `JoblibFinder`.
            spec.loader = JoblibLoader(spec.loader)  # type: ignore[assignment]
        return spec


class JoblibLoader:
    """Loader that runs joblib's own loader, and then adds the entry."""

    def __init__(self, own: Loader) -> None:
        """Create the loader. ``own`` is joblib's."""
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See `importlib.abc.Loader`."""
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`. The module keeps no trace of this loader."""
        if module.__spec__:
            module.__spec__.loader = self._own
        module.__loader__ = self._own
        self._own.exec_module(module)
        _enter(module)


def _enter(parallel: Any) -> None:
    parallel.BACKENDS.setdefault("dolambda", _backend)


def _backend(**options: Any) -> Any:
    """Return the backend for joblib.

    On a worker, in a task that names "dolambda", return one that runs there.
    """
    try:
        ours = importlib.import_module("dolambda.joblib")
    except ModuleNotFoundError as error:
        if error.name != "dolambda.joblib":
            raise
    else:
        return ours.LambdaBackend(**options)
    return sys.modules[_TABLE].SequentialBackend(nesting_level=options.get("nesting_level"))
