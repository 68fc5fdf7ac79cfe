"""The interface of resources and changes.

**Input:** the wanted state. **Output:** the changes that lead to it.
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
    """One step: the action, its object, and the reason."""

    action: Literal["create", "update", "remove"]
    what: str
    why: str
    apply: Callable[[], object] = field(repr=False, compare=False)


class Resource(Protocol):
    """One part of a stack."""

    def changes(self) -> Sequence[Change]:
        """Return the changes that make it as wanted, or none. It only reads."""
        ...

    def removal(self) -> Sequence[Change]:
        """Return the changes that remove it, or none. It only reads."""
        ...


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Wait for AWS's eventual consistency.

    Raises:
        ProvisionError: The deadline has passed.
    """
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while not holds():
        if time.monotonic() > deadline:
            raise ProvisionError(
                f"{what} did not come true within {seconds:.0f} s",
                hint="Repeat the command: it continues where it stopped.",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
