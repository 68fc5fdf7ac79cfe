"""Connection and mutual authentication of an R session and its bridge.

**Input:** a directory that the R session has created. **Output:** a connected socket.

The bridge listens on 127.0.0.1 and writes port and two random tokens to a file that only this user
can read. R connects and sends the first token. The bridge checks it and replies with the second.
Neither side reads anything before. Tokens are in no command line, log or environment.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import stat
import time
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = "address"
"""Name of the file: port, R's token, the bridge's token, one on each line."""

_TOKEN = 32  # characters
_TOKEN_WITHIN_S = 5.0


def meet(directory: Path, *, seconds: float = 60.0) -> socket.socket:
    """Wait for the R session to connect.

    Raises:
        TimeoutError: It did not connect in time.
        ConfigurationError: Other users can read the directory.
    """
    _refuse_foreign(directory)
    theirs, ours = secrets.token_hex(_TOKEN // 2), secrets.token_hex(_TOKEN // 2)
    deadline = time.monotonic() + seconds
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _write(directory, f"{listener.getsockname()[1]}\n{theirs}\n{ours}\n")
        try:
            while True:
                listener.settimeout(max(0.001, deadline - time.monotonic()))
                connection, _ = listener.accept()
                if _is_trusted(connection, theirs):
                    connection.sendall(ours.encode())
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    return connection
                connection.close()
        finally:
            (directory / ADDRESS).unlink(missing_ok=True)


def _is_trusted(connection: socket.socket, token: str) -> bool:
    """Read a token and compare it, in constant time."""
    deadline = time.monotonic() + _TOKEN_WITHIN_S
    got = b""
    while len(got) < _TOKEN:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            part = connection.recv(_TOKEN - len(got))
        except OSError:  # it sent too little in time, or closed the connection
            return False
        if not part:
            return False
        got += part
    return hmac.compare_digest(got, token.encode())


def _refuse_foreign(directory: Path) -> None:
    found = directory.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigurationError(
            f"{directory} can be read by other users, or belongs to one",
            hint="Let registerDoLambda() create it.",
        )


def _write(directory: Path, text: str) -> None:
    """Write the file atomically: R may read it at any moment."""
    part = directory / f"{ADDRESS}.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.rename(directory / ADDRESS)
