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

    A terminal that closes may send two, and the second would interrupt the removal. The handlers
    then stay: the program is ending, and Python complains about a signal that it has already
    taken and that has no handler any more.
    """
    arrived = False

    def leave(_number: int, _frame: object) -> None:
        nonlocal arrived
        if not arrived:
            arrived = True
            raise KeyboardInterrupt

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        if not arrived:
            for number, handler in before.items():
                signal.signal(number, handler)
