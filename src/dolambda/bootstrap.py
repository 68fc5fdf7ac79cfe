"""Lambda's runtime client for a Python that Lambda does not offer.

`provided.al2023` starts it, and the interpreter of a layer runs it.

**Input:** events, from the Runtime API (docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
**Output:** the reply of handler.py, or its error. The script `bootstrap` in the function's zip
starts this module with the interpreter that the stack was deployed with.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = (
    b'#!/bin/sh\ncd "$LAMBDA_TASK_ROOT" && exec "${DOLAMBDA_PYTHON:-/opt/bin/python3}" -m '
    b"dolambda.bootstrap\n"
)
"""The executable that Lambda looks for in the function's zip."""

_API = "/2018-06-01/runtime"


class Context:
    """The part of the managed runtime's context object that dolambda uses."""

    def __init__(self, deadline_ms: int) -> None:
        """Create the context. ``deadline_ms`` is in milliseconds since the epoch."""
        self._deadline_ms = deadline_ms

    def get_remaining_time_in_millis(self) -> int:
        """See `LambdaContext`."""
        return max(0, self._deadline_ms - int(time.time() * 1000))


def serve(connection: http.client.HTTPConnection, handler: Callable[[Any, Context], Any]) -> None:
    """Reply to events until the environment ends."""
    while True:
        connection.request("GET", f"{_API}/invocation/next")
        response = connection.getresponse()
        event = json.loads(response.read())
        if response.status != http.client.OK:
            return
        request = response.headers["Lambda-Runtime-Aws-Request-Id"]
        try:
            answer = handler(event, Context(int(response.headers["Lambda-Runtime-Deadline-Ms"])))
            _post(connection, f"{_API}/invocation/{request}/response", answer)
        except Exception as error:  # noqa: BLE001 - Lambda reports any error
            traceback.print_exc()
            _post(
                connection,
                f"{_API}/invocation/{request}/error",
                {"errorMessage": str(error), "errorType": type(error).__name__},
            )


def _post(connection: http.client.HTTPConnection, path: str, body: object) -> None:
    connection.request("POST", path, json.dumps(body))
    connection.getresponse().read()


def main() -> None:
    """Run as Lambda's bootstrap."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    sys.path += [
        "/opt/python",
        f"/opt/python/lib/{version}/site-packages",
    ]  # behind dolambda's own code, as in the managed runtime
    from dolambda.handler import handler  # noqa: PLC0415 - its imports may be in a layer

    serve(http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"]), handler)


if __name__ == "__main__":
    main()
