"""The function's own code.

On leaving: a zip of dolambda's worker side and cloudpickle, sources and bytecode, some 280 KB.

Lambda's /var/task cannot be written to, so that Python would compile every source again at each
cold start: a third of the handler's import. The bytecode differs between patch versions of Python;
which code a stack has is told by the digest of the sources.
"""

from __future__ import annotations

import importlib.util
import marshal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle

from dolambda import errors
from dolambda.bootstrap import SCRIPT
from dolambda.environment.archive import digest_of_files, files_below, make_zip

if TYPE_CHECKING:
    from types import CodeType

_OURS = (
    "__init__.py",
    "errors.py",
    "joblib_hook.py",
    "bootstrap.py",
    "handler.py",
    "aws/__init__.py",
    "aws/partitions.py",
    "aws/request_counter.py",
    "aws/signed_s3.py",
    "transport/__init__.py",
    "transport/direct/__init__.py",
    "transport/direct/worker.py",
    "transport/lease/__init__.py",
    "transport/lease/worker.py",
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
# PEP 552: by hash, not compared with the source.
_UNCHECKED = (0b01).to_bytes(4, "little") + bytes(8)
# Marshal's format without references, which depend on what else this process has imported.
_REPRODUCIBLE = 2


def worker_code() -> str:
    """Name the code that `worker_zip` holds, whatever Python it was made with."""
    return digest_of_files(_sources())[:32]


def worker_zip() -> bytes:
    """Zip what handler.py imports, and foreach for loops within tasks; no more."""
    sources = _sources()
    return make_zip({**sources, **_compiled(sources)})


def _sources() -> dict[str, bytes | Path]:
    source, pickler = Path(errors.__file__).parent, Path(cloudpickle.__file__).parent
    entries: dict[str, bytes | Path] = {f"dolambda/{name}": source / name for name in _OURS}
    entries["bootstrap"] = SCRIPT
    for package in _OUR_PACKAGES:
        entries |= {
            f"dolambda/{package}/{name}": path
            for name, path in files_below(source / package, ".py").items()
        }
    entries |= {f"cloudpickle/{name}": path for name, path in files_below(pickler, ".py").items()}
    return entries


def _compiled(sources: dict[str, bytes | Path]) -> dict[str, bytes | Path]:
    """The bytecode of what each worker imports, for this version of Python; another one passes it over."""
    compiled: dict[str, bytes | Path] = {}
    for name, path in sources.items():
        if isinstance(path, Path) and not name.startswith(_RARELY_IMPORTED):
            bytecode = _bytecode(
                compile(path.read_bytes(), name, "exec", dont_inherit=True, optimize=0)
            )
            if bytecode is None:
                continue
            package, _, module = name.rpartition("/")
            where = f"{package}/__pycache__/{module.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
            compiled[where] = importlib.util.MAGIC_NUMBER + _UNCHECKED + bytecode
    return compiled


def _bytecode(code: CodeType) -> bytes | None:
    """None for what the format does not hold, such as the slices among the constants of Python 3.14: that source is compiled there."""
    try:
        return marshal.dumps(code, _REPRODUCIBLE)
    except ValueError:
        return None
