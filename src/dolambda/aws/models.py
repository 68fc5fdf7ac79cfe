"""AWS's models of its services, which botocore reads for each session: 0.1 s for those of a stack.

**Input:** a botocore session. **Output:** the same one, which reads no file that another one in
this process has read.

Objects are read as plain dictionaries, which keep their order too. Of botocore's own OrderedDict
there were 34,000 after a start, and Python's garbage collector visits each of them for as long as
the program runs. It passes over a dictionary of strings.
"""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader


class _ReadOnce(JSONFileLoader):  # type: ignore[misc] # botocore has no types
    """Loader that keeps what it has read."""

    @functools.cache  # noqa: B019 - the one loader lives as long as the process
    def load_file(self, file_path: str) -> Any:
        """Return the content of a file, None if there is none."""
        plain, packed = Path(f"{file_path}.json"), Path(f"{file_path}.json.gz")
        if plain.is_file():
            return json.loads(plain.read_bytes())
        return json.loads(gzip.decompress(packed.read_bytes())) if packed.is_file() else None


_READ_ONCE = _ReadOnce()


def share_models(core: Any) -> None:
    """Let a botocore session use the models that others have read."""
    core.get_component("data_loader").file_loader = _READ_ONCE
