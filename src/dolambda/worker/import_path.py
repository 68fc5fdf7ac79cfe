"""The import path of this process, for the Python programs that tasks start.

**Output:** the environment variable PYTHONPATH, which `subprocess.run([sys.executable, ...])`
inherits.
"""

from __future__ import annotations

import os
import sys


def export() -> None:
    """Set PYTHONPATH to this process's import path, without the entries of every interpreter."""
    standard = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib is slower, at each cold start
    own = (f"{standard}/", f"{sys.prefix}/lib/", f"{sys.base_prefix}/lib/")
    kept = [
        entry
        for entry in dict.fromkeys(sys.path)
        if entry and entry != standard and not f"{entry}/".startswith(own)
    ]
    os.environ["PYTHONPATH"] = os.pathsep.join(kept)
