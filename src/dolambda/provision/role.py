"""The role that the worker runs in, with its only policy."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import translated
from dolambda.aws.partitions import LAMBDA_SERVICE, account_in
from dolambda.errors import AccessDeniedError, ProvisionError
from dolambda.provision import policies
from dolambda.provision.plan import Change, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from dolambda.aws.account import Account
    from dolambda.provision.names import Names

_POLICY = "worker"
_PATIENCE = 60


class Role:
    """See `Resource`."""

    def __init__(self, account: Account, names: Names, boundary: str | None = None) -> None:
        """Prepare the resource. Nothing is sent yet.

        ``boundary`` is the ARN of a policy that limits the role.
        """
        self._boundary = boundary
        self._iam = account.client("iam")
        self._lambda = account.client("lambda")
        self._names = names
        self._policy = policies.worker(names)

    def changes(self) -> list[Change]:
        """See `Resource.changes`.

        Raises:
            ProvisionError: A given role cannot be used.
        """
        if self._names.own_role:
            self._refuse_unusable()
            return []
        try:
            return self._differences()
        except AccessDeniedError:
            if self._in_use():  # an administrator created it, and keeps it up to date
                return []
            raise

    def _differences(self) -> list[Change]:
        title, found = f"role {self._names.role}", self._found()
        if found is None:
            self._refuse_foreign("permissions_boundary", self._boundary or "")
            why = "may read jobs and blobs, write replies and its log"
            return [Change("create", title, why, self._create)]
        changes = []
        if self._found_policy() != self._policy:
            why = "its policy differs from the one wanted"
            changes.append(Change("update", title, why, self._put_policy))
        bounded = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        if bounded != self._boundary:
            self._refuse_foreign("permissions_boundary", self._boundary or "")
            why = f"permissions boundary {self._boundary or 'removed'}"
            changes.append(Change("update", title, why, self._put_boundary))
        return changes

    def _refuse_foreign(self, setting: str, arn: str) -> None:
        """Raise `ProvisionError` for an ARN of another account, in which IAM would not find it."""
        owner = account_in(arn)
        if owner not in ("", self._names.account):
            raise ProvisionError(
                f"{setting}={arn!r} belongs to account {owner}, the stack to {self._names.account}",
                hint=f"Set {setting}= to one of account {self._names.account}, or use credentials "
                f"of account {owner}.",
            )

    def _refuse_unusable(self) -> None:
        """Raise `ProvisionError` for a given role that Lambda cannot assume.

        If the credentials may not read roles, Lambda finds out.
        """
        arn = self._names.own_role
        self._refuse_foreign("role", arn)
        try:
            found = self._found()
        except AccessDeniedError:
            return
        if found is None or found["Arn"] != arn:
            like = f"; the role of that name is {found['Arn']}" if found else ""
            raise ProvisionError(
                f"role={arn!r} does not exist{like}",
                hint="Set role= to the ARN of a role that Lambda may assume, with the policy that "
                "`dolambda policy worker` prints. Or leave it out, and deploy creates one.",
            )
        if not _lambda_may_assume(found["AssumeRolePolicyDocument"]):
            raise ProvisionError(
                f"role={arn!r} cannot be assumed by Lambda: its trust policy does not allow "
                f"sts:AssumeRole to the service {LAMBDA_SERVICE}",
                hint="Have an administrator add that to the role's trust policy, or set role= to "
                "another one.",
            )

    def _in_use(self) -> bool:
        """Return whether the stack's function already runs in this role."""
        with translated():
            try:
                found = self._lambda.get_function_configuration(FunctionName=self._names.stack)
            except self._lambda.exceptions.ResourceNotFoundException:
                return False
        return bool(found["Role"] == self._names.role_arn)

    def _put_boundary(self) -> None:
        name = self._names.role
        with translated():
            if self._boundary:
                self._iam.put_role_permissions_boundary(
                    RoleName=name, PermissionsBoundary=self._boundary
                )
            else:
                self._iam.delete_role_permissions_boundary(RoleName=name)

    def removal(self) -> list[Change]:
        """See `Resource.removal`. A given role stays."""
        if self._names.own_role:
            return []
        return (
            [Change("remove", f"role {self._names.role}", "with its policy", self._remove)]
            if self._exists()
            else []
        )

    def created(self) -> datetime | None:
        """Return when the role was created, or None if it is missing or cannot be read."""
        found = None
        if not self._names.own_role:
            with suppress(AccessDeniedError):  # see `changes`
                found = self._found()
        return found["CreateDate"] if found else None

    def _exists(self) -> bool:
        return self._found() is not None

    def _found(self) -> dict[str, Any] | None:
        with translated():
            try:
                return dict(self._iam.get_role(RoleName=self._names.role)["Role"])
            except self._iam.exceptions.NoSuchEntityException:
                return None

    def _found_policy(self) -> object:
        with translated():
            try:
                found = self._iam.get_role_policy(RoleName=self._names.role, PolicyName=_POLICY)[
                    "PolicyDocument"
                ]
            except self._iam.exceptions.NoSuchEntityException:
                return None
        return json.loads(found) if isinstance(found, str) else found

    def _create(self) -> None:
        # A deploy that was killed a moment ago may have created it: IAM's reads lag behind.
        with translated(), suppress(self._iam.exceptions.EntityAlreadyExistsException):
            self._iam.create_role(
                RoleName=self._names.role,
                AssumeRolePolicyDocument=json.dumps(policies.ASSUMED_BY_LAMBDA),
                Description=f"What the workers of the dolambda stack {self._names.stack} may do",
                **({"PermissionsBoundary": self._boundary} if self._boundary else {}),
                Tags=[{"Key": key, "Value": value} for key, value in self._names.tags.items()],
            )
        self._put_policy()

    def _put_policy(self) -> None:
        """Put the policy when all of IAM knows the role."""

        def put() -> None:
            self._iam.put_role_policy(
                RoleName=self._names.role,
                PolicyName=_POLICY,
                PolicyDocument=json.dumps(self._policy),
            )

        unknown = self._iam.exceptions.NoSuchEntityException
        self._once_known(put, unknown, f"that IAM knows role {self._names.role}")

    def _once_known(self, request: Callable[[], object], early: type[Exception], what: str) -> None:
        """Send a request again until IAM knows everywhere what was changed a moment ago."""

        def done() -> bool:
            with translated():
                try:
                    request()
                except early:
                    return False
            return True

        wait_until(done, what, seconds=_PATIENCE)

    def _remove(self) -> None:
        with translated():
            for name in self._iam.list_role_policies(RoleName=self._names.role)["PolicyNames"]:
                self._iam.delete_role_policy(RoleName=self._names.role, PolicyName=name)
            pages = self._iam.get_paginator("list_attached_role_policies")
            for page in pages.paginate(RoleName=self._names.role):
                for policy in page["AttachedPolicies"]:  # attached by others
                    self._iam.detach_role_policy(
                        RoleName=self._names.role, PolicyArn=policy["PolicyArn"]
                    )
        self._once_known(
            lambda: self._iam.delete_role(RoleName=self._names.role),
            self._iam.exceptions.DeleteConflictException,
            f"that IAM lets role {self._names.role} be deleted, without its policies",
        )


def _lambda_may_assume(trust: dict[str, Any]) -> bool:
    """Return whether a trust policy allows it. Conditions are taken as met."""
    statements = _several(trust.get("Statement", []))
    return any(
        statement.get("Effect") == "Allow"
        and _names_lambda(statement.get("Principal"))
        and {"sts:assumerole", "sts:*", "*"}
        & {action.lower() for action in _several(statement.get("Action", []))}
        for statement in statements
    )


def _names_lambda(principal: Any) -> bool:
    if principal == "*":
        return True
    services = _several(principal.get("Service", [])) if isinstance(principal, dict) else []
    return LAMBDA_SERVICE in services


def _several(one: Any) -> list[Any]:
    """Return a list, which policies may omit around a single value."""
    return one if isinstance(one, list) else [one]
