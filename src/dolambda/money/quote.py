"""A quote, shown. On entry: an estimate after a run's pilot; on leaving: whether to go on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dolambda.money.prices import AS_OF

if TYPE_CHECKING:
    from dolambda.scheduler.pilot import Estimate

only = False
"""Whether nothing but quotes is wanted: `dolambda quote` sets it."""


def verdict(estimate: Estimate) -> bool:
    """Tell what is left on standard error; on a terminal ask whether to go on, else do."""
    print(f"dolambda: {estimate} (list prices of {AS_OF}, us-east-1)", file=sys.stderr)  # noqa: T201 - it is what was asked for
    if only:
        return False
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print("dolambda: go on? [Y/n] ", end="", file=sys.stderr, flush=True)  # noqa: T201 - as above
    return sys.stdin.readline().strip().lower() not in ("n", "no")
