"""Lines of the function's log.

**Input:** an event, and its run, job and task. **Output:** one line of JSON.

`dolambda logs` finds them by their key ``dolambda``; `aws logs filter-log-events` finds them by
text.
"""

from __future__ import annotations

import json


def write(what: str, **about: str | int) -> None:
    """Write a line to standard output, which Lambda logs.

    Args:
        what: The event, in words.
        about: ``object`` (a key), or ``run``, ``job`` and ``task``.
    """
    # Lambda's log is standard output.
    print(json.dumps({"dolambda": what, **about}), flush=True)  # noqa: T201
