"""The withdrawn jobs of a run.

**Input:** their numbers. **Output:** one small signed object for each run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolambda.errors import EnvelopeError
from dolambda.wire import envelope

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Lease:
    """A run, and the ranges of its withdrawn jobs: first and last number of each, in order."""

    run: str
    withdrawn: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_numbers(cls, run: str, numbers: Iterable[int]) -> Lease:
        """Return the lease with consecutive numbers joined to ranges."""
        ranges: list[tuple[int, int]] = []
        for number in sorted(set(numbers)):
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1] = (ranges[-1][0], number)
            else:
                ranges.append((number, number))
        return cls(run, tuple(ranges))

    def is_withdrawn(self, number: int) -> bool:
        """Return whether a job was withdrawn."""
        return any(first <= number <= last for first, last in self.withdrawn)

    def to_bytes(self, key: bytes) -> bytes:
        """Return the lease sealed with ``key``."""
        return envelope.seal("lease", {"run": self.run, "withdrawn": self.withdrawn}, [], key)

    @classmethod
    def from_bytes(cls, data: bytes, key: bytes, run: str) -> Lease:
        """Check and open a sealed lease.

        Raises:
            EnvelopeError: The bytes are not a signed lease, or it is the lease of another run.
        """
        with envelope.making_sense("lease"):
            header, _ = envelope.unseal("lease", data, key)
            found = tuple((int(first), int(last)) for first, last in header["withdrawn"])
            if header["run"] != run:
                raise EnvelopeError(
                    f"the lease of run {header['run']} in the place of that of run {run}",
                    hint="A signed object was copied to another place.",
                )
        return cls(run, found)
