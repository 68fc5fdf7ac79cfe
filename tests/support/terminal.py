"""A program on a terminal of its own, as a user has it before them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time
from typing import TYPE_CHECKING

from support import programs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def on_terminal(
    arguments: Sequence[str],
    answers: dict[str, str],
    *,
    cwd: Path | None = None,
    columns: int = 80,
    within: float = 120,
) -> tuple[int, str]:
    """Run `python` with arguments on a terminal; type each answer once its question is shown.

    Returns:
        Its exit status, and all that it wrote to the terminal.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = programs.start(
        *arguments,
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=cwd,
        # The terminal's size counts. pytest imports readline, which sets COLUMNS behind its back.
        env={k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES"}},
        new_session=True,
    )
    os.close(its)
    written, left, deadline = b"", dict(answers), time.monotonic() + within
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    more = os.read(ours, 65536)
                except OSError:  # Linux's way to say that the program has ended
                    break
                if not more:
                    break
                written += more
            for question in [one for one in left if one.encode() in written]:
                os.write(ours, left.pop(question).encode())
        return process.wait(max(1.0, deadline - time.monotonic())), written.decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        os.close(ours)
