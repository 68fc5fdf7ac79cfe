"""What a resource is and what a change is.

On entry: what is wanted; on leaving: the changes that lead there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from dolambda.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0


@dataclass(frozen=True)
class Change:
    """One step: what is done to what, and why."""

    action: Literal["create", "update", "remove"]
    what: str
    why: str
    apply: Callable[[], object] = field(repr=False, compare=False)


class Resource(Protocol):
    """One thing that a stack is made of."""

    def changes(self) -> Sequence[Change]:
        """What has to be done so that it is as wanted; nothing when it is. Only reads."""
        ...

    def removal(self) -> Sequence[Change]:
        """What has to be done so that it is gone; nothing when it is. Only reads."""
        ...


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Wait out AWS's eventual consistency. Raises `ProvisionError` at the deadline."""
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while not holds():
        if time.monotonic() > deadline:
            raise ProvisionError(
                f"{what} did not come true within {seconds:.0f} s",
                hint="Run the same command again: it goes on where it stopped.",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
