"""Requests of deploy, translated into CloudFormation's resources.

CloudFormation's properties are mostly the API's parameters under other names. Resources name each
other by ARN and are ordered by ``DependsOn``: a bucket that refers to its function, and a
function's permission that refers to the bucket, would be a circle.

**Input:** operations with their parameters. **Output:** resources by logical name, and the files
that they need.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from dolambda.wire import signing_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UPLOADS, PREFIX, KEY = "UploadBucket", "UploadPrefix", "SigningKey"
"""Parameters that resources refer to."""

_TYPES = {
    "LogGroup": "AWS::Logs::LogGroup",
    "Role": "AWS::IAM::Role",
    "Layer": "AWS::Lambda::LayerVersion",
    "Function": "AWS::Lambda::Function",
    "AsyncConfig": "AWS::Lambda::EventInvokeConfig",
    "Permission": "AWS::Lambda::Permission",
    "Bucket": "AWS::S3::Bucket",
    "BucketPolicy": "AWS::S3::BucketPolicy",
}
"""Types of resources, in the order in which they are created. A layer's name has a number."""

_AFTER = {
    "Function": ("Role", "LogGroup"),
    "AsyncConfig": ("Function",),
    "Permission": ("Function",),
    "Bucket": ("Permission",),
    "BucketPolicy": ("Bucket",),
}
"""Resources that must exist before others. S3 tests a new bucket's notification at once."""

_HOLD_DATA = ("Bucket", "LogGroup")
_DIGITS = 12  # digits of a digest in a file's name


class Translator:
    """Resources that requests have described so far."""

    def __init__(self) -> None:
        """Start without requests."""
        self.uploads: dict[str, bytes] = {}
        """Files that resources consist of, by name."""
        self.objects: dict[str, bytes] = {}
        """Objects put into the stack's bucket, by key."""
        self._found: dict[str, dict[str, Any]] = {}
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, str] | None]] = {
            "CreateBucket": self._create_bucket,
            "PutBucketTagging": self._put_bucket_tagging,
            "PutPublicAccessBlock": self._put_public_access_block,
            "PutBucketEncryption": self._put_bucket_encryption,
            "PutBucketLifecycleConfiguration": self._put_bucket_lifecycle,
            "PutBucketPolicy": self._put_bucket_policy,
            "PutBucketNotificationConfiguration": self._put_bucket_notification,
            "PutObject": self._put_object,
            "DeleteObject": self._delete_object,
            "CreateLogGroup": self._create_log_group,
            "PutRetentionPolicy": self._put_retention_policy,
            "CreateRole": self._create_role,
            "PutRolePolicy": self._put_role_policy,
            "PublishLayerVersion": self._publish_layer_version,
            "CreateFunction": self._create_function,
            "PutFunctionEventInvokeConfig": self._put_event_invoke_config,
            "PutFunctionConcurrency": self._put_concurrency,
            "AddPermission": self._add_permission,
        }

    def take(self, operation: str, params: dict[str, Any]) -> dict[str, str]:
        """Translate a writing request. Return the part of its reply that a later one needs."""
        return self._operations[operation](params) or {}

    def resources(self) -> dict[str, Any]:
        """Return all resources, in the order in which they are created."""
        return {
            name: self._resource(name)
            for kind in _TYPES
            for name in self._found
            if name.rstrip("0123456789") == kind
        }

    def _resource(self, name: str) -> dict[str, Any]:
        kind = name.rstrip("0123456789")
        after = [other for other in _AFTER.get(kind, ()) if other in self._found]
        return {
            "Type": _TYPES[kind],
            **({"DependsOn": after} if after else {}),
            **(
                {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}
                if kind in _HOLD_DATA
                else {}
            ),
            "Properties": self._found[name],
        }

    def _set(self, name: str, **properties: Any) -> None:
        self._found.setdefault(name, {}).update(properties)

    def _uploaded(self, kind: str, content: bytes) -> dict[str, Any]:
        """Keep a file, named by its content. Return where a resource finds it."""
        name = f"{kind}-{hashlib.sha256(content).hexdigest()[:_DIGITS]}.zip"
        self.uploads[name] = content
        return {"S3Bucket": {"Ref": UPLOADS}, "S3Key": {"Fn::Sub": f"${{{PREFIX}}}{name}"}}

    def _create_bucket(self, params: dict[str, Any]) -> None:
        self._set("Bucket", BucketName=params["Bucket"])

    def _put_bucket_tagging(self, params: dict[str, Any]) -> None:
        self._set("Bucket", Tags=params["Tagging"]["TagSet"])

    def _put_public_access_block(self, params: dict[str, Any]) -> None:
        name = "PublicAccessBlockConfiguration"
        self._set("Bucket", **{name: params[name]})

    def _put_bucket_encryption(self, params: dict[str, Any]) -> None:
        rules = [
            {"ServerSideEncryptionByDefault": rule["ApplyServerSideEncryptionByDefault"]}
            for rule in params["ServerSideEncryptionConfiguration"]["Rules"]
        ]
        self._set("Bucket", BucketEncryption={"ServerSideEncryptionConfiguration": rules})

    def _put_bucket_lifecycle(self, params: dict[str, Any]) -> None:
        rules = [
            {
                "Id": rule["ID"],
                "Status": rule["Status"],
                "Prefix": rule["Filter"]["Prefix"],
                "ExpirationInDays": rule["Expiration"]["Days"],
                "NoncurrentVersionExpiration": rule["NoncurrentVersionExpiration"],
                "AbortIncompleteMultipartUpload": rule["AbortIncompleteMultipartUpload"],
            }
            for rule in params["LifecycleConfiguration"]["Rules"]
        ]
        self._set("Bucket", LifecycleConfiguration={"Rules": rules})

    def _put_bucket_policy(self, params: dict[str, Any]) -> None:
        document = json.loads(params["Policy"])
        self._set("BucketPolicy", Bucket=params["Bucket"], PolicyDocument=document)

    def _put_bucket_notification(self, params: dict[str, Any]) -> None:
        rules = [
            {
                "Event": event,
                "Function": rule["LambdaFunctionArn"],
                "Filter": {"S3Key": {"Rules": rule["Filter"]["Key"]["FilterRules"]}},
            }
            for rule in params["NotificationConfiguration"]["LambdaFunctionConfigurations"]
            for event in rule["Events"]
        ]
        self._set("Bucket", NotificationConfiguration={"LambdaConfigurations": rules})

    def _put_object(self, params: dict[str, Any]) -> None:
        self.objects[params["Key"]] = params["Body"]

    def _delete_object(self, params: dict[str, Any]) -> None:
        del self.objects[params["Key"]]

    def _create_log_group(self, params: dict[str, Any]) -> None:
        self._set("LogGroup", LogGroupName=params["logGroupName"], Tags=_tags(params["tags"]))

    def _put_retention_policy(self, params: dict[str, Any]) -> None:
        self._set("LogGroup", RetentionInDays=params["retentionInDays"])

    def _create_role(self, params: dict[str, Any]) -> None:
        trust = json.loads(params["AssumeRolePolicyDocument"])
        self._set("Role", **{**params, "AssumeRolePolicyDocument": trust})

    def _put_role_policy(self, params: dict[str, Any]) -> None:
        document = json.loads(params["PolicyDocument"])
        policy = {"PolicyName": params["PolicyName"], "PolicyDocument": document}
        self._set("Role", Policies=[policy])

    def _publish_layer_version(self, params: dict[str, Any]) -> dict[str, str]:
        source = params["Content"]
        content = source["ZipFile"] if "ZipFile" in source else self.objects[source["S3Key"]]
        name = f"Layer{sum(other.startswith('Layer') for other in self._found) + 1}"
        self._set(name, **{**params, "Content": self._uploaded("layer", content)})
        return {"LayerVersionArn": name}

    def _create_function(self, params: dict[str, Any]) -> None:
        variables: Mapping[str, str] = params["Environment"]["Variables"]
        kept = {
            name: value for name, value in variables.items() if name not in signing_keys.VARIABLES
        }
        layers = [{"Ref": arn} if arn in self._found else arn for arn in params["Layers"]]
        self._set(
            "Function",
            **{
                **params,
                "Code": self._uploaded("worker", params["Code"]["ZipFile"]),
                "Environment": {"Variables": {signing_keys.KEY: {"Ref": KEY}, **kept}},
                "Layers": layers,
                "Tags": _tags(params["Tags"]),
            },
        )

    def _put_event_invoke_config(self, params: dict[str, Any]) -> None:
        self._set("AsyncConfig", **params, Qualifier="$LATEST")

    def _put_concurrency(self, params: dict[str, Any]) -> None:
        name = "ReservedConcurrentExecutions"
        self._set("Function", **{name: params[name]})

    def _add_permission(self, params: dict[str, Any]) -> None:
        # CloudFormation names the statement itself.
        self._set("Permission", **{k: v for k, v in params.items() if k != "StatementId"})


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
