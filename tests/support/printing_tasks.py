"""Tasks that print, and then wait until a test has seen it: for a file that the test makes."""

from __future__ import annotations

import os
import time

PATIENCE_S = 25  # below the time limit of the tests' function

SAID = ("one", "two", "waiting", "it goes on")


def waits(path: str) -> bool:
    """Print, wait for a file, print the end. Return whether the file came."""
    print("one\ntwo")
    print("waiting")
    until = time.monotonic() + PATIENCE_S
    # On a worker.
    while not (seen := os.path.exists(path)) and time.monotonic() < until:  # noqa: PTH110
        time.sleep(0.05)
    print("it goes on")
    return seen


def waits_and_dies(path: str) -> None:
    """As `waits`, and then end the process."""
    waits(path)
    os._exit(3)


def fails_the_first_time(path: str, again: str) -> bool:
    """As `waits`; raise when it is called first."""
    seen = waits(path)
    if not os.path.exists(again):  # noqa: PTH110 - as above
        open(again, "w").close()  # noqa: PTH123 - as above
        raise ValueError("the first time")
    return seen


def prints_and_sleeps(seconds: float) -> None:
    """Print, and take that long."""
    print("one")
    time.sleep(seconds)
