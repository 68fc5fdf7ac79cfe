"""AWS's models of its services, which botocore reads for each session: 0.1 s for those of a stack.

**Input:** a botocore session. **Output:** the same one, which reads no file that another one in
this process has read.
"""

from __future__ import annotations

import functools
from typing import Any

from botocore.loaders import JSONFileLoader


class _ReadOnce(JSONFileLoader):  # type: ignore[misc] # botocore has no types
    """Loader that keeps what it has read."""

    @functools.cache  # noqa: B019 - the one loader lives as long as the process
    def load_file(self, file_path: str) -> Any:
        """Return the content of a file, None if there is none."""
        return super().load_file(file_path)


_READ_ONCE = _ReadOnce()


def share_models(core: Any) -> None:
    """Let a botocore session use the models that others have read."""
    core.get_component("data_loader").file_loader = _READ_ONCE
