"""The trigger: objects created under jobs/ invoke the function.

It has two parts: Lambda's permission, and S3's notification.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import error_code, translated
from dolambda.aws.partitions import S3_SERVICE
from dolambda.errors import ProvisionError
from dolambda.provision.bucket import NOT_YET
from dolambda.provision.function_state import tried
from dolambda.provision.plan import Change, wait_until
from dolambda.wire.keys import JOBS

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.provision.names import Names

_STATEMENT = "dolambda-jobs"
_PATIENCE = 60
_FUNCTIONS = "LambdaFunctionConfigurations"
_DESTINATIONS = {
    _FUNCTIONS: "LambdaFunctionArn",
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
}
"""Kinds of rules, with the field that names the destination. S3 compares the prefixes of all rules.
"""


class Trigger:
    """See `Resource`."""

    def __init__(self, account: Account, names: Names) -> None:
        """Prepare the resource. Nothing is sent yet."""
        self._lambda = account.client("lambda")
        self._s3 = account.client("s3")
        self._names = names
        self._id = f"dolambda-{names.stack}"

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        changes = []
        former = self._statements()
        if not any(self._permits(statement) for statement in former):
            permission = f"permission {_STATEMENT}"
            why = f"bucket {self._names.bucket} may invoke the function"
            ours = [one for one in former if one.get("Sid") == _STATEMENT]
            if ours:
                changes.append(
                    Change("update", permission, why, lambda: self._permit_instead_of(ours[0]))
                )
            else:
                changes.append(Change("create", permission, why, self._permit))
        found = self._notifications()
        self._refuse_overlap(found)
        if not any(self._is_wanted(rule) for rule in found.get(_FUNCTIONS, [])):
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
        if not any(self._is_ours(rule) for rule in self._notifications().get(_FUNCTIONS, [])):
            return []
        return [
            Change(
                "remove",
                f"notification {self._id}",
                "others of the bucket stay",
                lambda: self._withdraw(self._names),
            )
        ]

    def _wanted(self) -> dict[str, Any]:
        return {
            "Id": self._id,
            "LambdaFunctionArn": self._names.function_arn,
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": JOBS}]}},
        }

    def _is_ours(self, rule: dict[str, Any]) -> bool:
        """Return whether dolambda made a rule.

        It has dolambda's name. A template cannot name it, so it is also recognized by its content.
        """
        if rule.get("Id") == self._id:
            return True
        invokes = rule["LambdaFunctionArn"] == self._names.function_arn
        return invokes and _prefix(rule).startswith(JOBS)

    def _is_wanted(self, rule: dict[str, Any]) -> bool:
        return self._is_ours(rule) and {**_plain(rule), "Id": self._id} == self._wanted()

    def _statements(self) -> list[dict[str, Any]]:
        """Return the statements of the function's policy."""
        with translated():
            try:
                found = self._lambda.get_policy(FunctionName=self._names.stack)["Policy"]
            except self._lambda.exceptions.ResourceNotFoundException:
                return []
        return list(json.loads(found)["Statement"])

    def _permits(self, statement: dict[str, Any]) -> bool:
        """Return whether a statement lets this account's bucket invoke the function."""
        return (
            statement.get("Effect") == "Allow"
            and statement.get("Action") == "lambda:InvokeFunction"
            and statement.get("Principal") == {"Service": S3_SERVICE}
            and _condition(statement, "AWS:SourceArn") == self._names.bucket_arn
            and _condition(statement, "AWS:SourceAccount") == self._names.account
        )

    def _permit_instead_of(self, statement: dict[str, Any]) -> None:
        """Replace the permission of the former bucket, after removing its notification.

        If it is killed in between, nothing is forgotten.
        """
        former = _condition(statement, "AWS:SourceArn").rpartition(":")[2]
        if former not in ("", self._names.bucket):
            self._withdraw(replace(self._names, bucket=former))
        with translated():
            self._lambda.remove_permission(
                FunctionName=self._names.stack, StatementId=statement["Sid"]
            )
        self._permit()

    def _permit(self) -> None:
        def permit() -> None:
            self._lambda.add_permission(
                FunctionName=self._names.stack,
                StatementId=_STATEMENT,
                Action="lambda:InvokeFunction",
                Principal=S3_SERVICE,
                SourceArn=self._names.bucket_arn,
                SourceAccount=self._names.account,
            )

        what = f"that Lambda knows function {self._names.stack}"
        wait_until(lambda: tried(self._lambda, permit), what, seconds=_PATIENCE)

    def _notifications(self, names: Names | None = None) -> dict[str, Any]:
        with translated():
            try:
                found = dict(
                    self._s3.get_bucket_notification_configuration(
                        **(names or self._names).owned_bucket
                    )
                )
            except self._s3.exceptions.ClientError as error:
                if error_code(error) == "NoSuchBucket":
                    return {}
                raise
        found.pop("ResponseMetadata", None)
        return found

    def _refuse_overlap(self, found: dict[str, Any]) -> None:
        """Raise `ProvisionError` for a rule that S3 would not accept together with dolambda's."""
        rules = [
            (rule, rule[target])
            for kind, target in _DESTINATIONS.items()
            for rule in found.get(kind, [])
            if kind != _FUNCTIONS or not self._is_ours(rule)
        ]
        for rule, target in rules:
            prefix = _prefix(rule)
            created = any("ObjectCreated" in event for event in rule["Events"])
            if created and (prefix.startswith(JOBS) or JOBS.startswith(prefix)):
                raise ProvisionError(
                    f"bucket {self._names.bucket} already notifies {target} of objects under "
                    f"{prefix or '(all)'!r}",
                    hint=f"S3 rejects overlapping rules: narrow that rule to exclude {JOBS}, or "
                    "use another bucket=.",
                )

    def _notify(self) -> None:
        """Read, modify and write the configuration, which S3 replaces as a whole."""
        found = self._notifications()
        others = [rule for rule in found.get(_FUNCTIONS, []) if not self._is_ours(rule)]
        found[_FUNCTIONS] = [*others, self._wanted()]

        def put() -> bool:
            with translated():
                try:
                    self._s3.put_bucket_notification_configuration(
                        **self._names.owned_bucket, NotificationConfiguration=found
                    )
                except self._s3.exceptions.ClientError as error:
                    # S3 knows the permission, or a new bucket, only after a moment.
                    if "Unable to validate" in str(error) or error_code(error) in NOT_YET:
                        return False
                    raise
            return True

        wait_until(put, "that S3 may invoke the function", seconds=_PATIENCE)

    def _withdraw(self, names: Names) -> None:
        """Remove dolambda's notification, whatever the state of other destinations."""
        found = self._notifications(names)
        rules = found.get(_FUNCTIONS, [])
        others = [rule for rule in rules if not self._is_ours(rule)]
        if len(others) == len(rules):
            return
        with translated():
            self._s3.put_bucket_notification_configuration(
                **names.owned_bucket,
                NotificationConfiguration={**found, _FUNCTIONS: others},
                SkipDestinationValidation=True,
            )


def _condition(statement: dict[str, Any], key: str) -> str:
    """Return the value that a statement's condition requires of a key, or ""."""
    tests = statement.get("Condition", {}).values()
    return next((str(values[key]) for values in tests if key in values), "")


def _prefix(rule: dict[str, Any]) -> str:
    parts = _plain(rule)["Filter"]["Key"]["FilterRules"]
    return next((str(part["Value"]) for part in parts if part["Name"] == "prefix"), "")


def _plain(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule in the form of the request: S3 returns capitalized names of filters."""
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
