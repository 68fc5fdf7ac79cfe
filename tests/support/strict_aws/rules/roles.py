"""IAM's roles and log groups: known late, and not deleted while something hangs on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.strict_aws.base import Response, rule

if TYPE_CHECKING:
    from support.strict_aws.base import Request, World

_GRANT = (
    "Lambda was unable to configure access to your environment variables because the KMS key is "
    "invalid for CreateGrant. Please check your KMS key settings. KMS Exception: "
    "InvalidArnException KMS Message: ARN does not refer to a valid principal"
)
_ASSUME = "The role defined for the function cannot be assumed by Lambda."


@rule("iam:CreateRole", "lambda:CreateFunction", "lambda:UpdateFunctionConfiguration")
def role_known_late(request: Request, world: World) -> Response | None:
    """Refuse a new role's first two uses, with either of the texts that Lambda has for it.

    "The role defined for the function cannot be assumed by Lambda." and, as environment variables
    need a KMS grant, "... the KMS key is invalid for CreateGrant ... ARN does not refer to a valid
    principal": terraform-provider-aws #4633, aws/chalice `_is_iam_role_related_error`.
    """
    if request.operation == "CreateRole":
        world.memory[request.params["RoleName"]] = [_ASSUME, _GRANT]
        return None
    texts = world.memory.get(request.params.get("Role", "").rpartition("/")[2])
    if not texts:
        return None
    return Response.refused(400, "InvalidParameterValueException", texts.pop())


@rule("iam:DeleteRole")
def role_with_policies(request: Request, world: World) -> Response | None:
    """Refuse to delete a role that has a policy attached: API reference of DeleteRole.

    "Cannot delete entity, must detach all policies first."
    """
    name = request.params["RoleName"]
    if not world.ask("iam", "ListAttachedRolePolicies", RoleName=name)["AttachedPolicies"]:
        return None
    return Response.refused(
        409, "DeleteConflict", "Cannot delete entity, must detach all policies first."
    )


@rule("iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:DeleteRole")
def roles_read_late(request: Request, world: World) -> Response | None:
    """Know a new role only at the second request, and that its policies are gone likewise.

    404 NoSuchEntity "The role with name ... cannot be found.": "changes ... might not be
    immediately visible", IAM user guide, "Troubleshoot IAM"; terraform-provider-aws #16796, #18435.
    409 DeleteConflict "Cannot delete entity, must delete policies first.": terraform #14707
    repeats it.
    """
    name, early = request.params["RoleName"], world.memory
    if request.operation == "CreateRole":
        early[name] = "created"
    elif request.operation == "DeleteRolePolicy":
        early[name] = "bared"
    elif request.operation == "PutRolePolicy" and early.pop(name, "") == "created":
        message = f"The role with name {name} cannot be found."
        return Response.refused(404, "NoSuchEntity", message)
    elif request.operation == "DeleteRole" and early.pop(name, "") == "bared":
        message = "Cannot delete entity, must delete policies first."
        return Response.refused(409, "DeleteConflict", message)
    return None


@rule("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:DeleteLogGroup")
def log_groups_change_slowly(request: Request, world: World) -> Response | None:
    """Refuse the first change after a log group was created or given a retention.

    400 OperationAbortedException "A conflicting operation is currently in progress against this
    resource. Please try again.": aws-cdk #15709, #17546; a 400 ResourceNotFoundException "The
    specified log group does not exist." right after its creation, but not to another creation.
    """
    name, texts = request.params["logGroupName"], world.memory
    if request.operation == "CreateLogGroup" and texts.get(name, [])[-1:] == [_NO_GROUP]:
        texts[name].pop()
    if texts.get(name):
        code, message = texts[name].pop()
        return Response.refused(400, code, message)
    if request.operation == "CreateLogGroup":
        texts[name] = [_ABORTED, _NO_GROUP]
    if request.operation == "PutRetentionPolicy":
        texts[name] = [_ABORTED]
    return None


_ABORTED = (
    "OperationAbortedException",
    "A conflicting operation is currently in progress against this resource. Please try again.",
)
_NO_GROUP = ("ResourceNotFoundException", "The specified log group does not exist.")


@rule("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration")
def role_of_the_partition(request: Request, world: World) -> Response | None:
    """Refuse a role whose ARN has another partition than the region.

    "1 validation error detected: Value '...' at 'role' failed to satisfy constraint": the model's
    pattern is checked by the region's endpoint, whose partition the ARN has to name.
    """
    import boto3  # noqa: PLC0415 - only here

    role = request.params.get("Role")
    partition = boto3.Session().get_partition_for_region(world.options.region)
    if role is None or role.startswith(f"arn:{partition}:"):
        return None
    return Response.refused(
        400,
        "ValidationException",
        f"1 validation error detected: Value '{role}' at 'role' failed to satisfy constraint",
    )
