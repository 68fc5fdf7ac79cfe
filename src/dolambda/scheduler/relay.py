"""The output and log records of tasks, shown locally.

**Input:** a task's number, its output, whether it failed. **Output:** tagged lines.
"""

from __future__ import annotations

import sys


# The signature is that of a relay.
def to_stdout(index: int, output: str, failed: bool) -> None:  # noqa: ARG001, FBT001
    """Print the output, with each line tagged with the task's number."""
    if sys.stdout is not None:  # None in a service, or under pythonw
        sys.stdout.write("".join(f"[task {index}] {line}\n" for line in output.splitlines()))


def to_stdout_at_once(index: int, output: str, failed: bool) -> None:  # noqa: FBT001
    """Print the output like `to_stdout`, and flush it, also to a file or a pipe."""
    to_stdout(index, output, failed)
    if sys.stdout is not None:
        sys.stdout.flush()
