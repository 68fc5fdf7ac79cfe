"""What the workers run in the first hour."""

from __future__ import annotations

import os
import time
from importlib.metadata import version

SAID = "begun"


def nbytes(array: bytes) -> int:
    return len(array)


def square(number: int) -> int:
    return number * number


def version_of(package: str) -> str:
    return version(package)


def dies() -> None:
    os._exit(3)


def sleeps(seconds: float) -> None:
    time.sleep(seconds)


def prints_and_waits(path: str, seconds: float) -> None:
    """Print, then wait for a file, which only comes where workers see this machine's files."""
    print(SAID, flush=True)
    until = time.monotonic() + seconds
    while not os.path.exists(path) and time.monotonic() < until:  # noqa: PTH110 - on a worker
        time.sleep(0.05)
