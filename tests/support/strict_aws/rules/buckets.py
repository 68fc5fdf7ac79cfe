"""S3's buckets: known late, notifications checked, owners compared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from support.strict_aws.base import Response, rule

if TYPE_CHECKING:
    from support.strict_aws.base import Request, World

_KINDS = ("LambdaFunctionConfigurations", "QueueConfigurations", "TopicConfigurations")


@rule("s3:*")
def bucket_known_late(request: Request, world: World) -> Response | None:
    """Refuse the first two configurations of a new bucket.

    404 "NoSuchBucket" and 409 "OperationAborted: A conflicting conditional operation is currently
    in progress against this resource. Please try again." for up to minutes after CreateBucket:
    terraform-provider-aws #7628, #36873, ansible #67811.
    """
    if request.operation == "CreateBucket":
        world.memory[request.bucket] = [
            Response.refused(
                409,
                "OperationAborted",
                "A conflicting conditional operation is currently in progress against this "
                "resource. Please try again.",
            ),
            Response.refused(404, "NoSuchBucket", "The specified bucket does not exist"),
        ]
        return None
    if request.operation.startswith("PutBucket") or request.operation == "PutPublicAccessBlock":
        left = world.memory.get(request.bucket)
        return left.pop() if left else None
    return None


def _arn(bucket: str, world: World) -> str:
    import boto3  # noqa: PLC0415 - slow

    return f"arn:{boto3.Session().get_partition_for_region(world.options.region)}:s3:::{bucket}"


def _permitted(function: str, bucket: str, world: World) -> bool:
    try:
        policy = json.loads(world.ask("lambda", "GetPolicy", FunctionName=function)["Policy"])
    except ClientError:  # no function or no policy
        return False
    for statement in policy["Statement"]:
        conditions = statement.get("Condition", {})
        like = conditions.get("ArnLike", {}).get("AWS:SourceArn")
        owner = conditions.get("StringEquals", {}).get("AWS:SourceAccount")
        if like == _arn(bucket, world) and owner in (None, world.options.account):
            return True
    return False


@rule("s3:PutBucketNotificationConfiguration")
def destination_validated(request: Request, world: World) -> Response | None:
    """Refuse a notification unless the function's policy lets this very bucket invoke it.

    "Unable to validate the following destination configurations": S3 user guide, "Granting
    permissions to publish event notification messages to a destination". The first answer after
    AddPermission may be so too. SkipDestinationValidation leaves it out.
    """
    if request.params.get("SkipDestinationValidation"):
        return None
    rules = request.params["NotificationConfiguration"].get(_KINDS[0], [])
    if all(
        _permitted(one["LambdaFunctionArn"].rpartition(":")[2], request.bucket, world)
        for one in rules
    ):
        return None
    return Response.refused(
        400,
        "InvalidArgument",
        "Unable to validate the following destination configurations",
    )


@rule("s3:PutBucketNotificationConfiguration")
def overlapping_notifications(request: Request, _: World) -> Response | None:
    """Refuse rules for one event whose prefixes overlap, whatever their destinations.

    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the
    prefixes are overlapping for the same event type.": S3 user guide, "Configuring event
    notifications using object key name filtering".
    """
    found = request.params["NotificationConfiguration"]
    rules = [one for kind in _KINDS for one in found.get(kind, [])]
    prefixes = [_prefix(one) for one in rules if any("ObjectCreated" in e for e in one["Events"])]
    for at, one in enumerate(prefixes):
        for other in prefixes[at + 1 :]:
            if one.startswith(other) or other.startswith(one):
                return Response.refused(
                    400,
                    "InvalidArgument",
                    "Configuration is ambiguously defined. Cannot have overlapping suffixes in "
                    "two rules if the prefixes are overlapping for the same event type.",
                )
    return None


def _prefix(one: dict[str, Any]) -> str:
    parts = one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return next((str(part["Value"]) for part in parts if part["Name"].lower() == "prefix"), "")


@rule("s3:*")
def foreign_owner(request: Request, world: World) -> Response | None:
    """Refuse a request that expects another owner of the bucket.

    403 "Access Denied" where ExpectedBucketOwner is not the owner: S3 user guide, "Verifying
    bucket ownership with bucket owner condition". Without the parameter the request goes through,
    to a bucket whose policy lets everybody in.
    """
    if request.bucket not in world.options.foreign_buckets:
        return None
    if request.params.get("ExpectedBucketOwner") == world.options.account:
        if request.operation == "HeadBucket":  # a HEAD's answer has no body to name the error
            return Response.refused(403, "403", "Forbidden")
        return Response.refused(403, "AccessDenied", "Access Denied")
    return None


@rule("s3:PutBucketLifecycleConfiguration", "s3:GetBucketLifecycleConfiguration")
def one_form_of_lifecycle_rules(request: Request, world: World) -> Response | None:
    """Refuse rules of the older form, with a prefix of their own, beside others with a filter.

    400 InvalidRequest "Base level prefix cannot be used in Lifecycle V2, prefixes are only
    supported in the Filter.": terraform-provider-aws #23299. GetBucketLifecycleConfiguration
    returns a rule in the form in which it was put, unlike the emulator.
    """
    if request.operation == "GetBucketLifecycleConfiguration":
        kept = world.memory.get(request.bucket)
        return Response(200, {"Rules": kept}) if kept else None
    rules = request.params["LifecycleConfiguration"]["Rules"]
    older = [one for one in rules if "Prefix" in one]
    if not any("Filter" in one for one in rules) or not older:
        world.memory[request.bucket] = older
        return None
    message = (
        "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the "
        "Filter."
    )
    return Response.refused(400, "InvalidRequest", message)


@rule("s3:DeleteBucket")
def bucket_with_versions(request: Request, world: World) -> Response | None:
    """Refuse to remove a bucket that holds versions of objects, or delete markers.

    409 "BucketNotEmpty: The bucket you tried to delete is not empty. You must delete all versions
    in the bucket.": aws-cli #1017, aws-nuke #62.
    """
    try:
        found = world.ask("s3", "ListObjectVersions", Bucket=request.bucket, MaxKeys=1)
    except Exception:  # noqa: BLE001 - there is no such bucket, as the emulator will say
        return None
    if not (found.get("Versions") or found.get("DeleteMarkers")):
        return None
    message = (
        "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
    )
    return Response.refused(409, "BucketNotEmpty", message)


@rule("s3:GetBucketLocation")
def old_name_of_ireland(request: Request, world: World) -> Response | None:
    """Call eu-west-1 "EU" for buckets that are old: BucketLocationConstraint of S3's model."""
    if world.options.region != "eu-west-1" or "old" not in request.bucket:
        return None
    return Response(200, {"LocationConstraint": "EU"})


@rule("s3:PutBucketPolicy", "s3:GetBucketPolicy", "s3:DeleteBucket")
def policies_kept_from_moto(request: Request, world: World) -> Response | None:
    """Keep bucket policies away from an emulator that takes a Deny for one without its condition.

    No refusal of AWS's: moto would deny every request by the statement that denies plain HTTP.
    """
    if not world.options.ignores_conditions:
        return None
    if request.operation == "PutBucketPolicy":
        world.memory[request.bucket] = request.params["Policy"]
        return Response(204, {})
    if request.operation == "DeleteBucket":
        world.memory.pop(request.bucket, None)
        return None
    kept = world.memory.get(request.bucket)
    return Response(200, {"Policy": kept}) if kept else None
