"""The concurrency limit: the number of invocations that Lambda runs at most.

Lambda calls it reserved concurrency. It comes last: an account that does not allow it still has a
complete stack.

**Input:** the function exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.provision.function_state import change_settled
from dolambda.provision.plan import Change
from dolambda.stack import reserved_concurrency

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.provision.limits import Limits
    from dolambda.provision.names import Names


class Concurrency:
    """See `Resource`."""

    def __init__(
        self,
        account: Account,
        names: Names,
        wanted: int | None,
        limits: Callable[[], Limits | None],
    ) -> None:
        """Prepare the resource.

        ``wanted`` is None for no reservation. ``limits`` returns None if they are unknown.
        """
        self._lambda = account.client("lambda")
        self._names = names
        self._wanted = wanted
        self._limits = limits

    def changes(self) -> list[Change]:
        """See `Resource.changes`.

        Raises:
            ProvisionError: The account does not allow the reservation.
        """
        if reserved_concurrency(self._lambda, self._names.stack) == self._wanted:
            return []
        limits = self._limits() if self._wanted is not None else None
        if limits is not None and self._wanted is not None:
            limits.refuse_reserving(self._wanted)
        title = f"function {self._names.stack}"
        why = f"{self._wanted or 'no'} reserved concurrency, its limit"
        return [Change("update", title, why, self._put)]

    def removal(self) -> list[Change]:
        """See `Resource.removal`. It is removed with the function."""
        return []

    def _put(self) -> None:
        name, wanted = self._names.stack, self._wanted

        def put() -> None:
            if wanted is None:
                self._lambda.delete_function_concurrency(FunctionName=name)
            else:
                self._lambda.put_function_concurrency(
                    FunctionName=name, ReservedConcurrentExecutions=wanted
                )

        change_settled(self._lambda, name, put)
