"""The log group.

dolambda creates it instead of Lambda, so that its retention is limited and `destroy` finds it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from dolambda.aws.account import translated
from dolambda.provision.plan import Change, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.provision.names import Names

_PATIENCE = 60


class LogGroup:
    """See `Resource`."""

    def __init__(self, account: Account, names: Names, *, days: int) -> None:
        """Prepare the resource. The log is kept for ``days``, one of CloudWatch's numbers."""
        self._logs = account.client("logs")
        self._names = names
        self._days = days

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        found = self._found()
        if found is None:
            return [
                Change(
                    "create",
                    f"log group {self._names.log_group}",
                    f"keeps what workers log for {self._days} days",
                    self._create,
                )
            ]
        if found.get("retentionInDays") != self._days:
            return [
                Change(
                    "update",
                    f"log group {self._names.log_group}",
                    f"retention to {self._days} days",
                    self._retain,
                )
            ]
        return []

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        if self._found() is None:
            return []
        return [
            Change("remove", f"log group {self._names.log_group}", "with the log", self._remove)
        ]

    def _found(self) -> dict[str, object] | None:
        with translated():
            groups = self._logs.describe_log_groups(logGroupNamePrefix=self._names.log_group)[
                "logGroups"
            ]
        return next(
            (group for group in groups if group["logGroupName"] == self._names.log_group), None
        )

    def _create(self) -> None:
        def create() -> None:
            with suppress(self._logs.exceptions.ResourceAlreadyExistsException):
                self._logs.create_log_group(
                    logGroupName=self._names.log_group, tags=self._names.tags
                )

        self._once_free(create)
        self._retain()

    def _retain(self) -> None:
        self._once_free(
            lambda: self._logs.put_retention_policy(
                logGroupName=self._names.log_group, retentionInDays=self._days
            ),
            self._logs.exceptions.ResourceNotFoundException,  # it was created a moment ago
        )

    def _remove(self) -> None:
        self._once_free(lambda: self._logs.delete_log_group(logGroupName=self._names.log_group))

    def _once_free(self, request: Callable[[], object], *early: type[Exception]) -> None:
        """Send a request again while another change of the group is in progress, or ``early``."""

        def done() -> bool:
            with translated():
                try:
                    request()
                except (self._logs.exceptions.OperationAbortedException, *early):
                    return False
            return True

        wait_until(done, f"the change of log group {self._names.log_group}", seconds=_PATIENCE)
