"""CloudFormation on moto, which leaves out most of what a bucket, a layer and a function have.

moto resolves parameters, references and the order; the types below make their resources with the
requests that AWS's resource types make, from https://docs.aws.amazon.com/AWSCloudFormation/latest/
TemplateReference/. A property that none of them reads is an error.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
from moto.core.common_models import CloudFormationModel

if TYPE_CHECKING:
    from pathlib import Path

Properties = dict[str, Any]
Create = Callable[[Properties, Callable[[str], Any]], str]


def load(tools: Path) -> None:
    """Let moto know the types; ``tools`` holds a module that it imports, and does not use for
    these.
    """
    place = str(next(tools.parent.glob("lib/python*/site-packages")))
    sys.path.append(place)
    try:
        from moto.cloudformation import parsing  # noqa: PLC0415 - it is found only now
    finally:
        sys.path.remove(place)
    if _MODELS:
        return
    _MODELS.extend(_model(name, create) for name, create in _TYPES.items())  # after moto's own
    for known in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        known.cache_clear()
    assert parsing.get_model_map()["AWS::S3::Bucket"] in _MODELS


def create_stack(account: Any, name: str, template: str, parameters: dict[str, str]) -> None:
    """Create a stack as the AWS CLI would; parameters are checked against their patterns."""
    known = json.loads(template)["Parameters"]
    for parameter, rule in known.items():
        value = parameters.get(parameter, rule.get("Default"))
        assert value is not None, f"Parameters: [{parameter}] must have values"
        assert re.fullmatch(rule.get("AllowedPattern", ".*"), value), parameter
    account.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=template,
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    )


def _model(name: str, create: Create) -> type[CloudFormationModel]:
    """Define a type; ``create`` takes its properties away one by one and returns its identifier."""

    class Model(CloudFormationModel):
        def __init__(self, physical_resource_id: str) -> None:
            self.physical_resource_id = physical_resource_id

        @staticmethod
        def cloudformation_name_type() -> str:
            return ""

        @staticmethod
        def cloudformation_type() -> str:
            return name

        @classmethod
        def create_from_cloudformation_json(  # type: ignore[override] # moto's are not typed alike
            cls, _name: str, resource: Properties, _account: str, region: str, **_: Any
        ) -> Model:
            properties = dict(resource["Properties"])
            made = cls(create(properties, lambda service: boto3.client(service, region)))
            assert not properties, f"{name}: {sorted(properties)}"
            return made

    return Model


def _log_group(p: Properties, client: Callable[[str], Any]) -> str:
    logs, name = client("logs"), str(p.pop("LogGroupName"))
    logs.create_log_group(logGroupName=name, tags=_by_key(p.pop("Tags")))
    logs.put_retention_policy(logGroupName=name, retentionInDays=int(p.pop("RetentionInDays")))
    return name


def _role(p: Properties, client: Callable[[str], Any]) -> str:
    iam, policies = client("iam"), p.pop("Policies")
    trust = json.dumps(p.pop("AssumeRolePolicyDocument"))
    taken = _taken(p, "RoleName", "Description", "Tags", "PermissionsBoundary")
    iam.create_role(AssumeRolePolicyDocument=trust, **taken)
    for policy in policies:
        iam.put_role_policy(
            RoleName=taken["RoleName"],
            PolicyName=policy["PolicyName"],
            PolicyDocument=json.dumps(policy["PolicyDocument"]),
        )
    return str(taken["RoleName"])


def _layer(p: Properties, client: Callable[[str], Any]) -> str:
    made = client("lambda").publish_layer_version(
        **_taken(p, "LayerName", "Description", "Content", "CompatibleRuntimes")
    )
    return str(made["LayerVersionArn"])


def _function(p: Properties, client: Callable[[str], Any]) -> str:
    functions, reserved = client("lambda"), p.pop("ReservedConcurrentExecutions", None)
    name = str(p["FunctionName"])
    taken = _taken(
        p,
        *("FunctionName", "Description", "Runtime", "Handler", "Role", "Code", "Architectures"),
        *("MemorySize", "Timeout", "EphemeralStorage", "Layers", "Environment"),
    )
    functions.create_function(Tags=_by_key(p.pop("Tags")), **taken)
    if reserved is not None:
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
    return name


def _async_config(p: Properties, client: Callable[[str], Any]) -> str:
    # "$LATEST" is the function itself, as for the API's requests without a qualifier.
    assert p.pop("Qualifier") == "$LATEST"
    taken = _taken(p, "FunctionName", "MaximumRetryAttempts", "MaximumEventAgeInSeconds")
    client("lambda").put_function_event_invoke_config(**taken)
    return f"{taken['FunctionName']}|$LATEST"


def _permission(p: Properties, client: Callable[[str], Any]) -> str:
    taken = _taken(p, "FunctionName", "Action", "Principal", "SourceArn", "SourceAccount")
    client("lambda").add_permission(StatementId="stack-Permission-Xy0", **taken)
    return "stack-Permission-Xy0"


def _bucket(p: Properties, client: Callable[[str], Any]) -> str:
    s3, name = client("s3"), str(p.pop("BucketName"))
    region = s3.meta.region_name
    s3.create_bucket(
        Bucket=name,
        **(
            {}
            if region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        ),
    )
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": p.pop("Tags")})
    s3.put_public_access_block(Bucket=name, **_taken(p, "PublicAccessBlockConfiguration"))
    encrypted = p.pop("BucketEncryption")["ServerSideEncryptionConfiguration"]
    rules = [
        {"ApplyServerSideEncryptionByDefault": one["ServerSideEncryptionByDefault"]}
        for one in encrypted
    ]
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    lifecycle = [_lifecycle_rule(one) for one in p.pop("LifecycleConfiguration")["Rules"]]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": lifecycle})
    notified = [
        {
            "Id": f"made-{number}",
            "LambdaFunctionArn": one["Function"],
            "Events": [one["Event"]],
            "Filter": {"Key": {"FilterRules": one["Filter"]["S3Key"]["Rules"]}},
        }
        for number, one in enumerate(p.pop("NotificationConfiguration")["LambdaConfigurations"])
    ]
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"LambdaFunctionConfigurations": notified}
    )
    return name


def _lifecycle_rule(rule: Properties) -> Properties:
    rule = dict(rule)
    made = {
        "ID": rule.pop("Id"),
        "Filter": {"Prefix": rule.pop("Prefix")},
        "Expiration": {"Days": rule.pop("ExpirationInDays")},
        **_taken(rule, "Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"),
    }
    assert not rule, rule
    return made


def _bucket_policy(p: Properties, client: Callable[[str], Any]) -> str:
    name = str(p.pop("Bucket"))
    client("s3").put_bucket_policy(Bucket=name, Policy=json.dumps(p.pop("PolicyDocument")))
    return name


def _taken(p: Properties, *names: str) -> Properties:
    """Return the properties of these names that there are, and take them away."""
    return {name: p.pop(name) for name in names if name in p}


def _by_key(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


_TYPES = {
    "AWS::Logs::LogGroup": _log_group,
    "AWS::IAM::Role": _role,
    "AWS::Lambda::LayerVersion": _layer,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::EventInvokeConfig": _async_config,
    "AWS::Lambda::Permission": _permission,
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
}
_MODELS: list[type] = []
"""moto knows types as long as their classes exist."""
