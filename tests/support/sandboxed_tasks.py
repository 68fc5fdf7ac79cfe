"""Tasks that look at the sandbox they run in, and tasks that it ends."""

from __future__ import annotations

import os
import time
from typing import Any

_PLACES = ("/var/task/x", "/opt/x", "/usr/x", "/dev/x", "/x", "/tmp/x")  # noqa: S108


def seen_inside() -> dict[str, Any]:
    found: dict[str, Any] = {
        "user": os.getuid(),
        "directory": os.environ["LAMBDA_TASK_ROOT"],
        "shared memory": os.path.exists("/dev/shm"),  # noqa: PTH110, S108
        "home": os.environ.get("HOME"),
    }
    import resource  # noqa: PLC0415 - on the worker

    import attrs  # noqa: PLC0415 - on the worker

    import dolambda.handler  # noqa: PLC0415 - on the worker

    found["descriptors"] = resource.getrlimit(resource.RLIMIT_NOFILE)
    found["code"] = dolambda.handler.__file__
    found["layer"] = attrs.__file__
    for place in _PLACES:
        try:
            with open(place, "w"):  # noqa: PTH123
                found[place] = "written"
        except OSError as error:
            found[place] = error.strerror
    return found


def ancestors() -> list[tuple[int, str]]:
    """Return this process and those above it, with their command lines."""
    found, number = [], os.getpid()
    while number > 1:
        with open(f"/proc/{number}/cmdline") as file:  # noqa: PTH123
            found.append((number, file.read().replace("\0", " ")))
        with open(f"/proc/{number}/stat") as file:  # noqa: PTH123
            number = int(file.read().rpartition(")")[2].split()[1])
    return found


def holds(megabytes: int) -> int:
    blocks = []
    for _ in range(megabytes):
        blocks.append(b"x" * (1 << 20))
        time.sleep(0.001)
    return len(blocks)


def dies() -> None:
    os._exit(3)


def returns(megabytes: int) -> bytes:
    return os.urandom(megabytes << 20)


def computes(seconds: float) -> tuple[float, float]:
    """Use so much CPU time; return how long it took and what was used."""
    begun, before = time.monotonic(), time.process_time()
    while time.process_time() - before < seconds:
        pass
    return time.monotonic() - begun, time.process_time() - before


def waits(seconds: float) -> int:
    """Hold some memory and use next to no CPU."""
    held = b"x" * (60 << 20)
    time.sleep(seconds)
    return len(held)
