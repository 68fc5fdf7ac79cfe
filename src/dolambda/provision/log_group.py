"""The log group.

dolambda creates it instead of Lambda, so that its retention is limited and `destroy` finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.aws.account import translated
from dolambda.provision.plan import Change

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.provision.names import Names


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
        with translated():
            self._logs.create_log_group(logGroupName=self._names.log_group, tags=self._names.tags)
        self._retain()

    def _retain(self) -> None:
        with translated():
            self._logs.put_retention_policy(
                logGroupName=self._names.log_group, retentionInDays=self._days
            )

    def _remove(self) -> None:
        with translated():
            self._logs.delete_log_group(logGroupName=self._names.log_group)
