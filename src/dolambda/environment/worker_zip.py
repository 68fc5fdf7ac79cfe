"""The function's own code. On leaving: a zip of dolambda's worker side and cloudpickle, pure Python, some 60 KB."""

from __future__ import annotations

from pathlib import Path

import cloudpickle

from dolambda import errors
from dolambda.bootstrap import SCRIPT
from dolambda.environment.archive import files_below, make_zip

_OURS = (
    "__init__.py",
    "errors.py",
    "iterators.py",
    "joblib_name.py",
    "bootstrap.py",
    "handler.py",
    "aws/__init__.py",
    "aws/calls.py",
    "aws/signed_s3.py",
    "transport/__init__.py",
    "transport/base.py",
    "transport/direct.py",
    "transport/s3_queue.py",
)
_OUR_PACKAGES = ("loops", "wire", "worker")


def worker_zip() -> bytes:
    """Zip what handler.py imports, and foreach for loops within tasks; no more."""
    source, pickler = Path(errors.__file__).parent, Path(cloudpickle.__file__).parent
    entries: dict[str, bytes | Path] = {f"dolambda/{name}": source / name for name in _OURS}
    entries["bootstrap"] = SCRIPT
    for package in _OUR_PACKAGES:
        entries |= {f"dolambda/{package}/{name}": path for name, path in files_below(source / package, ".py").items()}
    entries |= {f"cloudpickle/{name}": path for name, path in files_below(pickler, ".py").items()}
    return make_zip(entries)
