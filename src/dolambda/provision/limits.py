"""The account's limits of concurrent executions, and of their reservation for a function.

**Input:** an account. **Output:** `Limits`, or None if the credentials may not read them. Then
nothing is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolambda.aws.account import translated
from dolambda.errors import AccessDeniedError, ProvisionError
from dolambda.stack import reserved_concurrency

if TYPE_CHECKING:
    from dolambda.aws.account import Account

_UNRESERVED_MINIMUM = 100
"""Executions that Lambda keeps unreserved, or all of them in an account that has fewer."""


@dataclass(frozen=True)
class Limits:
    """Concurrent executions of the account in its region."""

    total: int
    available: int
    """Executions that no other function has reserved."""

    @property
    def reservable(self) -> int:
        """Largest reservation for this function."""
        return max(0, self.available - min(_UNRESERVED_MINIMUM, self.total))

    def refuse_reserving(self, wanted: int) -> None:
        """Raise `ProvisionError` for a reservation that Lambda would refuse."""
        if wanted > self.reservable:
            kept = min(_UNRESERVED_MINIMUM, self.total)
            raise ProvisionError(
                f"concurrency={wanted} cannot be reserved: this account has {self.total:,} "
                "concurrent executions, "
                f"{self.available:,} of them free, and Lambda keeps {kept} unreserved",
                hint=(
                    f"Set concurrency= to at most {self.reservable}, or"
                    if self.reservable
                    else "Leave concurrency= out, or"
                )
                + " ask for more: AWS console, Service Quotas, AWS Lambda, Concurrent executions.",
            )


def limits_of(account: Account, function: str) -> Limits | None:
    """Return the account's limits, or None if the credentials may not read them."""
    client = account.client("lambda")
    try:
        with translated():
            found = client.get_account_settings()["AccountLimit"]
    except AccessDeniedError:
        return None
    reserved = reserved_concurrency(client, function) or 0
    return Limits(found["ConcurrentExecutions"], found["UnreservedConcurrentExecutions"] + reserved)
