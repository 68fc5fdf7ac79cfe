"""Signals that end a command as Ctrl-C does, so that it removes what it made."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

TERMINATION = frozenset(
    {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}  # Windows has no SIGHUP
)


@contextmanager
def ended_by(numbers: AbstractSet[signal.Signals]) -> Iterator[None]:
    """Let the first of these signals raise KeyboardInterrupt. Ignore those that follow.

    A terminal that closes may send two, and the second would interrupt the removal.
    """

    def leave(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
