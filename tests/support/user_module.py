"""A module of the user's own: neither installed nor in the standard library, so it has to
travel.
"""

from __future__ import annotations

import logging
import time
import warnings

FACTOR = 12


def times_factor(i: int) -> int:
    return i * FACTOR


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def say_much(fail: bool) -> None:
    print("printed")
    logging.getLogger("mine").info("logged")
    warnings.warn("warned", stacklevel=1)
    if fail:
        raise KeyError("failed")


def fails_at(i: int, culprit: int = 2) -> int:
    if i == culprit:
        raise ValueError("boom")
    return i
