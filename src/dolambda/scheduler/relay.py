"""What tasks print and log, shown here.

On entry: a task's number, its output, whether it failed; on leaving: tagged lines.
"""

from __future__ import annotations

import sys


# A relay's signature.
def to_stdout(index: int, output: str, failed: bool) -> None:  # noqa: ARG001, FBT001
    """Show it, each line tagged with the task's number."""
    if sys.stdout is not None:  # as in a service, or under pythonw
        sys.stdout.write("".join(f"[task {index}] {line}\n" for line in output.splitlines()))


def to_stdout_at_once(index: int, output: str, failed: bool) -> None:  # noqa: FBT001 - as above
    """As `to_stdout`, without waiting for more: where standard output is a file or a pipe, too."""
    to_stdout(index, output, failed)
    if sys.stdout is not None:
        sys.stdout.flush()
