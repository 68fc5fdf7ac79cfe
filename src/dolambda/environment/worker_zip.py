"""The function's own code.

**Output:** a zip of dolambda's worker side and cloudpickle, sources and bytecode, some 490 KB.

Lambda's /var/task is read-only, so without bytecode Python would compile every source at each cold
start: a third of the handler's import time. The bytecode differs between patch versions of Python.
The digest of the sources identifies the code of a stack.
"""

from __future__ import annotations

import functools
from pathlib import Path

import cloudpickle

from dolambda import errors
from dolambda.bootstrap import SCRIPT
from dolambda.environment.archive import digest_of_files, files_below, make_zip
from dolambda.environment.bytecode import compiled
from dolambda.version import VERSION

_OURS = (
    "__init__.py",
    "errors.py",
    "joblib_hook.py",
    "bootstrap.py",
    "handler.py",
    "aws/__init__.py",
    "aws/checksums.py",
    "aws/denials.py",
    "aws/partitions.py",
    "aws/proxies.py",
    "aws/request_counter.py",
    "aws/signed_s3.py",
    "transport/__init__.py",
    "transport/direct/__init__.py",
    "transport/direct/worker.py",
    "transport/lease/__init__.py",
    "transport/lease/worker.py",
    "transport/live/__init__.py",
    "transport/live/worker.py",
    "transport/put_reply.py",
    "transport/queue/__init__.py",
    "transport/queue/worker.py",
    "r/__init__.py",
    "r/find_r.py",
    "r/function.py",
    "r/r_process.py",
    "r/worker.R",
)
_OUR_PACKAGES = ("iterators", "loops", "wire", "worker", "wrappers")
_RARELY_IMPORTED = (
    "dolambda/loops/",
    "dolambda/iterators/",
    "dolambda/bootstrap.py",
    "dolambda/r/",
)


def worker_code() -> str:
    """Return the name of the code in `worker_zip`, independent of the Python version."""
    return digest_of_files(_sources())[:32]


def worker_zip() -> bytes:
    """Return a zip of the modules that handler.py imports, and foreach for loops within tasks."""
    return _zip_of(worker_code())


@functools.lru_cache(maxsize=1)
def _zip_of(code: str) -> bytes:  # noqa: ARG001 - with other sources there is another zip
    sources = _sources()
    return make_zip({**sources, **_compiled(sources)})


def _sources() -> dict[str, bytes | Path]:
    source, pickler = Path(errors.__file__).parent, Path(cloudpickle.__file__).parent
    entries: dict[str, bytes | Path] = {f"dolambda/{name}": source / name for name in _OURS}
    entries["bootstrap"] = SCRIPT
    # Where the package is not installed, its metadata is not either.
    entries["dolambda/version.py"] = f"VERSION = {VERSION!r}\n".encode()
    for package in _OUR_PACKAGES:
        entries |= {
            f"dolambda/{package}/{name}": path
            for name, path in files_below(source / package, ".py").items()
        }
    entries |= {f"cloudpickle/{name}": path for name, path in files_below(pickler, ".py").items()}
    return entries


def _compiled(sources: dict[str, bytes | Path]) -> dict[str, bytes | Path]:
    """Return the bytecode of the modules that each worker imports, for this version of Python.

    Another version ignores it.
    """
    wanted = {name: at for name, at in sources.items() if not name.startswith(_RARELY_IMPORTED)}
    return compiled(wanted)
