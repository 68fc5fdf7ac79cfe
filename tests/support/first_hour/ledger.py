"""What the first hour has cost, and may still cost."""

from __future__ import annotations

CAP = 0.25
"""Dollars that the first hour may cost at the very worst."""


class OverCapError(Exception):
    """A step was not begun: at its worst it would exceed the cap."""


class Ledger:
    """The dollars spent, under a hard cap."""

    def __init__(self, cap: float = CAP) -> None:
        self.cap = cap
        self.spent = 0.0

    def refuse_beyond(self, worst: float) -> None:
        """Raise `OverCapError` if ``worst`` more dollars would exceed the cap."""
        if self.spent + worst > self.cap:
            raise OverCapError(
                f"${self.spent:.4f} are spent, and this step may cost ${worst:.4f}: together more "
                f"than ${self.cap:.2f}"
            )

    def charge(self, dollars: float) -> None:
        """Count what a step has cost."""
        if dollars < 0:
            raise ValueError(f"a step cannot cost {dollars} dollars")
        self.spent += dollars
