"""The trigger: objects created under jobs/ invoke the function. Two halves: Lambda's permission, S3's notification."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import error_code, translated
from dolambda.errors import ProvisionError
from dolambda.provision.plan import Change, wait_until
from dolambda.wire.keys import JOBS

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.provision.names import Names

_STATEMENT = "dolambda-jobs"
_PATIENCE = 60


class Trigger:
    """See `Resource`."""

    def __init__(self, account: Account, names: Names) -> None:
        """Nothing is sent yet."""
        self._lambda = account.client("lambda")
        self._s3 = account.client("s3")
        self._names = names
        self._id = f"dolambda-{names.stack}"

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        changes = []
        if not self._permitted():
            changes.append(
                Change(
                    "create",
                    f"permission {_STATEMENT}",
                    f"bucket {self._names.bucket} may invoke the function",
                    self._permit,
                )
            )
        found = self._notifications()
        others = [
            rule
            for rule in found.get("LambdaFunctionConfigurations", [])
            if rule.get("Id") != self._id
        ]
        self._refuse_overlap(others)
        if self._wanted() not in [
            _plain(rule) for rule in found.get("LambdaFunctionConfigurations", [])
        ]:
            changes.append(
                Change(
                    "create",
                    f"notification {self._id}",
                    f"objects created under {JOBS} invoke the function",
                    self._notify,
                )
            )
        return changes

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        rules = self._notifications().get("LambdaFunctionConfigurations", [])
        if not any(rule.get("Id") == self._id for rule in rules):
            return []
        return [
            Change("remove", f"notification {self._id}", "others of the bucket stay", self._remove)
        ]

    def _wanted(self) -> dict[str, Any]:
        return {
            "Id": self._id,
            "LambdaFunctionArn": self._names.function_arn,
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": JOBS}]}},
        }

    def _permitted(self) -> bool:
        with translated():
            try:
                policy = json.loads(
                    self._lambda.get_policy(FunctionName=self._names.stack)["Policy"]
                )
            except self._lambda.exceptions.ResourceNotFoundException:
                return False
        return any(statement.get("Sid") == _STATEMENT for statement in policy["Statement"])

    def _permit(self) -> None:
        with translated():
            self._lambda.add_permission(
                FunctionName=self._names.stack,
                StatementId=_STATEMENT,
                Action="lambda:InvokeFunction",
                Principal="s3.amazonaws.com",
                SourceArn=self._names.bucket_arn,
                SourceAccount=self._names.account,
            )

    def _notifications(self) -> dict[str, Any]:
        with translated():
            try:
                found = dict(
                    self._s3.get_bucket_notification_configuration(Bucket=self._names.bucket)
                )
            except self._s3.exceptions.ClientError as error:
                if error_code(error) == "NoSuchBucket":
                    return {}
                raise
        found.pop("ResponseMetadata", None)
        return found

    def _refuse_overlap(self, others: list[dict[str, Any]]) -> None:
        for rule in others:
            prefix = next(
                (
                    part["Value"]
                    for part in _plain(rule).get("Filter", {}).get("Key", {}).get("FilterRules", [])
                    if part["Name"] == "prefix"
                ),
                "",
            )
            created = any("ObjectCreated" in event for event in rule["Events"])
            if created and (prefix.startswith(JOBS) or JOBS.startswith(prefix)):
                raise ProvisionError(
                    f"bucket {self._names.bucket} already notifies {rule['LambdaFunctionArn']} of objects under {prefix or '(all)'!r}",
                    hint=f"S3 rejects overlapping rules: narrow that rule to exclude {JOBS}, or give another bucket=.",
                )

    def _notify(self) -> None:
        """Read, modify, write: S3 replaces the whole configuration."""
        found = self._notifications()
        rules = [
            rule
            for rule in found.get("LambdaFunctionConfigurations", [])
            if rule.get("Id") != self._id
        ]
        found["LambdaFunctionConfigurations"] = [*rules, self._wanted()]

        def put() -> bool:
            with translated():
                try:
                    self._s3.put_bucket_notification_configuration(
                        Bucket=self._names.bucket, NotificationConfiguration=found
                    )
                except self._s3.exceptions.ClientError as error:
                    if "Unable to validate" in str(
                        error
                    ):  # the permission takes a moment to be known to S3
                        return False
                    raise
            return True

        wait_until(put, "that S3 may invoke the function", seconds=_PATIENCE)

    def _remove(self) -> None:
        found = self._notifications()
        found["LambdaFunctionConfigurations"] = [
            rule
            for rule in found.get("LambdaFunctionConfigurations", [])
            if rule.get("Id") != self._id
        ]
        with translated():
            self._s3.put_bucket_notification_configuration(
                Bucket=self._names.bucket, NotificationConfiguration=found
            )


def _plain(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule as S3 gives it back, in the shape in which it is given: S3 capitalises the filter's names."""
    filters = rule.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return {
        **rule,
        "Filter": {
            "Key": {
                "FilterRules": [
                    {"Name": part["Name"].lower(), "Value": part["Value"]} for part in filters
                ]
            }
        },
    }
