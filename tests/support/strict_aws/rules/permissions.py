"""IAM: who may do what, and from when on."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from support.strict_aws.base import Response, rule
from support.strict_aws.policies import Needed, allows, listing_of, needed_by

if TYPE_CHECKING:
    from support.strict_aws.base import Request, World

_FORBIDDEN = 403
_CHANGES = (
    "PutUserPolicy",
    "DeleteUserPolicy",
    "PutRolePolicy",
    "DeleteRolePolicy",
    "DeleteRole",
    "DeleteUser",
)


@rule("s3:*", "lambda:*", "iam:*", "logs:*", "sts:*")
def policies_in_force(request: Request, world: World) -> Response | None:
    """Allow only what a policy allows that is in force, on a resource of a type that the action
    takes.

    "User: ... is not authorized to perform: ... on resource: ... because no identity-based policy
    allows the ... action": IAM user guide, "Troubleshoot access denied error messages". Resource
    types: Service Authorization Reference. "Changes that I make are not always immediately
    visible": IAM user guide, "Troubleshoot IAM".
    """
    if not world.options.iam_definition or not request.principal:
        return None
    documents = _documents(request.principal, world)
    denied = [one for one in needed_by(request, world.options) if not allows(documents, one)]
    _note_change(request, world)
    if not denied:
        return None
    if request.operation == "DeleteObjects":
        return _some_deleted(request, denied, world)
    return _denied(request, denied[0])


@rule("s3:GetObject", "s3:HeadObject")
def missing_key_is_forbidden(request: Request, world: World) -> Response | None:
    """Answer 403 for a key that does not exist to who may not list the bucket without a condition.

    "If the object that you request doesn't exist, the error that Amazon S3 returns depends on
    whether you also have the s3:ListBucket permission. [...] If you don't [...] 403 (Access
    Denied)": API reference of HeadObject. A request for an object has no s3:prefix, and "If the key
    that you specify in a policy condition is not present in the request context, the values do not
    match and the condition is false": IAM user guide, "Condition operators".
    """
    if not world.options.iam_definition or not request.principal:
        return None
    listing = listing_of(request.bucket, world.options)
    if allows(_documents(request.principal, world), listing):
        return None
    try:
        world.ask("s3", "HeadObject", Bucket=request.bucket, Key=request.params["Key"])
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return _denied(request, listing)
    return None


def _denied(request: Request, needed: Needed) -> Response:
    if request.operation.startswith("Head"):  # a HEAD's answer has no body to name the error
        return Response.refused(_FORBIDDEN, "403", "Forbidden")
    place = f'"{needed.resource}"' if request.service == "s3" else needed.resource
    text = (
        f"User: {request.principal} is not authorized to perform: {needed.action} on resource: "
        f"{place} because no identity-based policy allows the {needed.action} action"
    )
    code = "AccessDenied" if request.service in ("s3", "iam", "sts") else "AccessDeniedException"
    return Response.refused(_FORBIDDEN, code, text)


def _some_deleted(request: Request, denied: list[Needed], world: World) -> Response:
    """Answer 200 with an error for each key that may not be deleted: API reference of
    DeleteObjects.
    """
    forbidden = {one.resource.partition(":::")[2].partition("/")[2] for one in denied}
    entries = request.params["Delete"]["Objects"]
    allowed = [one for one in entries if one["Key"] not in forbidden]
    answer: dict[str, Any] = {}
    if allowed:
        answer = world.ask(
            "s3", "DeleteObjects", Bucket=request.bucket, Delete={"Objects": allowed}
        )
    errors = [
        {"Key": key, "Code": "AccessDenied", "Message": "Access Denied"}
        for key in sorted(forbidden)
    ]
    return Response(200, {**answer, "Errors": errors})


def _note_change(request: Request, world: World) -> None:
    """Remember until when the policies before a change are in force."""
    if request.service != "iam" or request.operation not in _CHANGES:
        return
    kind = "user" if "UserName" in request.params else "role"
    owner = f"{kind}/{request.params[f'{kind.title()}Name']}"
    changes = world.shared.setdefault("changes", {})
    if request.operation == "DeleteRole":
        world.shared.setdefault("known", {}).pop(owner, None)
    changes[owner] = time.monotonic() + world.options.policy_delay_s


def _documents(principal: str, world: World) -> list[dict[str, Any]]:
    """Return the policies that are in force for a user or for a role's session."""
    kind = "role" if ":assumed-role/" in principal else "user"
    owner = f"{kind}/{principal.split('/')[1]}"
    known = world.shared.setdefault("known", {})
    changed = world.shared.setdefault("changes", {}).get(owner)
    if changed is not None:
        if time.monotonic() < changed:
            return list(known.get(owner, []))
        world.shared["changes"].pop(owner, None)
        known.pop(owner, None)
    if owner not in known:
        known[owner] = _asked(kind.title(), owner.partition("/")[2], world)
    return list(known[owner])


def forget_users(shared: dict[str, Any]) -> None:
    """Ask for the policies of users again: the root user, whom no rule sees, may change them."""
    known = shared.get("known", {})
    for owner in [one for one in known if one.startswith("user/")]:
        known.pop(owner, None)


def _asked(kind: str, name: str, world: World) -> list[dict[str, Any]]:
    owner = {f"{kind}Name": name}
    try:
        names = world.ask("iam", f"List{kind}Policies", **owner)["PolicyNames"]
    except ClientError:  # the user or role was removed meanwhile
        return []
    documents = []
    for policy in names:
        found = world.ask("iam", f"Get{kind}Policy", PolicyName=policy, **owner)
        text = found["PolicyDocument"]
        documents.append(json.loads(text) if isinstance(text, str) else dict(text))
    return documents
