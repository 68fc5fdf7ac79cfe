"""The role that the worker runs in, with its one policy."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import translated
from dolambda.errors import AccessDeniedError, ProvisionError
from dolambda.provision import policies
from dolambda.provision.plan import Change

if TYPE_CHECKING:
    from datetime import datetime

    from dolambda.aws.account import Account
    from dolambda.provision.names import Names

_POLICY = "worker"


class Role:
    """See `Resource`."""

    def __init__(self, account: Account, names: Names, boundary: str | None = None) -> None:
        """``boundary`` is the ARN of the policy that bounds what the role may do; nothing is sent yet."""
        self._boundary = boundary
        self._iam = account.client("iam")
        self._names = names
        self._policy = policies.worker(names)

    def changes(self) -> list[Change]:
        """See `Resource.changes`. Raises `ProvisionError` for a given role that does not exist."""
        if self._names.own_role:
            self._refuse_missing()
            return []
        found = self._found()
        if found is None:
            return [
                Change(
                    "create",
                    f"role {self._names.role}",
                    "may read jobs and blobs, write replies and its log",
                    self._create,
                )
            ]
        title, changes = f"role {self._names.role}", []
        if self._found_policy() != self._policy:
            why = "its policy differs from the one wanted"
            changes.append(Change("update", title, why, self._put_policy))
        bounded = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        if bounded != self._boundary:
            why = f"permissions boundary {self._boundary or 'removed'}"
            changes.append(Change("update", title, why, self._put_boundary))
        return changes

    def _refuse_missing(self) -> None:
        """Who may not ask for a role is told by Lambda whether it can be used."""
        with suppress(AccessDeniedError):
            if self._found() is None:
                raise ProvisionError(
                    f"role={self._names.own_role!r} does not exist",
                    hint="Set role= to the ARN of a role that Lambda may assume, with what "
                    "`dolambda policy worker` "
                    "prints; or leave it out, and deploy makes one.",
                )

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
        """See `Resource.removal`: a given role stays."""
        if self._names.own_role:
            return []
        return (
            [Change("remove", f"role {self._names.role}", "with its policy", self._remove)]
            if self._exists()
            else []
        )

    def created(self) -> datetime | None:
        """Return when the role was made; None if there is none, or it is a given one."""
        found = None if self._names.own_role else self._found()
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
        with translated():
            self._iam.create_role(
                RoleName=self._names.role,
                AssumeRolePolicyDocument=json.dumps(policies.ASSUMED_BY_LAMBDA),
                Description=f"What the workers of the dolambda stack {self._names.stack} may do",
                **({"PermissionsBoundary": self._boundary} if self._boundary else {}),
                Tags=[{"Key": key, "Value": value} for key, value in self._names.tags.items()],
            )
        self._put_policy()

    def _put_policy(self) -> None:
        with translated():
            self._iam.put_role_policy(
                RoleName=self._names.role,
                PolicyName=_POLICY,
                PolicyDocument=json.dumps(self._policy),
            )

    def _remove(self) -> None:
        with translated():
            for name in self._iam.list_role_policies(RoleName=self._names.role)["PolicyNames"]:
                self._iam.delete_role_policy(RoleName=self._names.role, PolicyName=name)
            pages = self._iam.get_paginator("list_attached_role_policies")
            for page in pages.paginate(RoleName=self._names.role):
                for policy in page["AttachedPolicies"]:  # attached by someone else
                    self._iam.detach_role_policy(
                        RoleName=self._names.role, PolicyArn=policy["PolicyArn"]
                    )
            self._iam.delete_role(RoleName=self._names.role)
