"""Permissions, and no more than needed.

**Input:** a stack's names. **Output:** IAM policy documents.

worker      the role the function runs in. It may not write under jobs/, so it cannot call itself
            endlessly.
submitter   people who run tasks
deployer    people who create, change, stop and remove the stack, and replace its key
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolambda.aws.partitions import LAMBDA_SERVICE
from dolambda.wire.keys import BLOBS, BUNDLES, JOBS, LAYERS, LEASES, OUTS, RUNS

if TYPE_CHECKING:
    from dolambda.provision.names import Names

Policy = dict[str, Any]

ASSUMED_BY_LAMBDA: Policy = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": LAMBDA_SERVICE},
            "Action": "sts:AssumeRole",
        }
    ],
}


def worker(names: Names) -> Policy:
    """Read jobs, blobs and bundles, write replies and the log."""
    return _policy(
        _in_buckets(
            names,
            ["s3:GetObject"],
            *(f"{names.bucket_arn}/{prefix}*" for prefix in (JOBS, LEASES, BLOBS, BUNDLES)),
        ),
        _in_buckets(names, ["s3:PutObject"], f"{names.bucket_arn}/{OUTS}*"),
        _allow(["logs:CreateLogStream", "logs:PutLogEvents"], names.log_group_arn),
    )


def submitter(names: Names) -> Policy:
    """Find the stack, call its function, exchange jobs and replies, and keep records of runs.

    A submitter puts jobs and blobs, lists and reads replies, and removes jobs and replies.
    """
    listing = _in_buckets(names, ["s3:ListBucket"], names.bucket_arn)
    listing["Condition"] |= {
        "StringLike": {"s3:prefix": [f"{prefix}*" for prefix in (OUTS, JOBS, LEASES, BLOBS, RUNS)]}
    }
    return _policy(
        _allow(
            [
                "lambda:GetFunctionConfiguration",
                "lambda:GetFunctionConcurrency",
                "lambda:InvokeFunction",
            ],
            names.function_arn,
        ),
        _in_buckets(
            names,
            ["s3:PutObject"],
            *(f"{names.bucket_arn}/{prefix}*" for prefix in (JOBS, LEASES, BLOBS, RUNS)),
        ),
        _in_buckets(
            names,
            ["s3:GetObject"],
            *(f"{names.bucket_arn}/{prefix}*" for prefix in (LEASES, OUTS, BLOBS, RUNS)),
        ),
        _in_buckets(
            names,
            ["s3:DeleteObject"],
            *(f"{names.bucket_arn}/{prefix}*" for prefix in (JOBS, LEASES, OUTS, RUNS)),
        ),
        listing,
        _allow(["logs:FilterLogEvents"], names.log_group_arn),
    )


def deployer(names: Names) -> Policy:
    """Create, change, read and remove exactly this stack's resources.

    They are its role, bucket, layers, function, trigger and log group.
    """
    return _policy(
        *_on_role(names),
        *_on_buckets(names),
        *_on_function(names),
        _on_temporary_functions(names),
        *_on_layers(names),
        _on_log_group(names),
        _not_narrowed(),
    )


def _on_role(names: Names) -> list[Policy]:
    passing = _allow(["iam:PassRole"], names.role_arn)
    passing["Condition"] = {"StringEquals": {"iam:PassedToService": LAMBDA_SERVICE}}
    if names.own_role:
        return [_allow(["iam:GetRole"], names.role_arn), passing]
    actions = [
        "iam:GetRole",
        "iam:CreateRole",
        "iam:TagRole",
        "iam:DeleteRole",
        "iam:ListRolePolicies",
        "iam:GetRolePolicy",
        "iam:PutRolePolicy",
        "iam:DeleteRolePolicy",
        "iam:ListAttachedRolePolicies",
        "iam:DetachRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:DeleteRolePermissionsBoundary",
    ]
    return [_allow(actions, names.role_arn), passing]


def _on_buckets(names: Names) -> list[Policy]:
    own = names.bucket_arn
    removed = (
        f"{bucket}/{prefix}*"
        for bucket in _buckets(names)
        for prefix in (JOBS, LEASES, OUTS, BLOBS, RUNS, LAYERS, BUNDLES)
    )
    uploaded = (f"{own}/{LAYERS}*", f"{own}/{BUNDLES}*")
    return [
        _in_buckets(names, _OF_BUCKETS, *_buckets(names)),
        _in_buckets(names, ["s3:PutObject", "s3:GetObject"], *uploaded),
        _in_buckets(names, ["s3:PutObject"], f"{own}/{LEASES}*"),
        _in_buckets(names, ["s3:DeleteObject", "s3:DeleteObjectVersion"], *removed),
    ]


_OF_BUCKETS = [
    "s3:CreateBucket",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:DeleteBucket",
    "s3:GetBucketLocation",
    "s3:GetBucketTagging",
    "s3:PutBucketTagging",
    "s3:GetBucketPublicAccessBlock",
    "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketPolicy",
    "s3:PutBucketPolicy",
    "s3:GetEncryptionConfiguration",
    "s3:PutEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:GetBucketNotification",
    "s3:PutBucketNotification",
]
"""Actions on the stack's bucket itself."""


def _on_function(names: Names) -> list[Policy]:
    actions = [
        "lambda:GetFunctionConfiguration",
        "lambda:CreateFunction",
        "lambda:TagResource",
        "lambda:ListTags",
        "lambda:UntagResource",
        "lambda:DeleteFunction",
        "lambda:UpdateFunctionConfiguration",
        "lambda:UpdateFunctionCode",
        "lambda:GetFunctionEventInvokeConfig",
        "lambda:PutFunctionEventInvokeConfig",
        "lambda:DeleteFunctionEventInvokeConfig",
        "lambda:GetFunctionConcurrency",
        "lambda:PutFunctionConcurrency",
        "lambda:DeleteFunctionConcurrency",
        "lambda:GetPolicy",
        "lambda:AddPermission",
        "lambda:RemovePermission",
    ]
    return [_allow(actions, names.function_arn)]


def _on_temporary_functions(names: Names) -> Policy:
    """Allow `dolambda tune`: functions with the same role, which are called and removed."""
    actions = [
        "lambda:GetFunctionConfiguration",
        "lambda:CreateFunction",
        "lambda:TagResource",
        "lambda:ListTags",
        "lambda:DeleteFunction",
        "lambda:InvokeFunction",
    ]
    return _allow(actions, names.tune_arns)


def _on_layers(names: Names) -> list[Policy]:
    """Allow the stack's layers, and the use of the user's own: Lambda asks for GetLayerVersion."""
    own = [_allow(["lambda:GetLayerVersion"], *names.own_layers)] if names.own_layers else []
    return [
        _allow(["lambda:PublishLayerVersion"], names.layer_arns),
        _allow(["lambda:GetLayerVersion", "lambda:DeleteLayerVersion"], f"{names.layer_arns}:*"),
        *own,
    ]


def _on_log_group(names: Names) -> Policy:
    group = names.log_group_arn.removesuffix(":*")
    actions = [
        "logs:CreateLogGroup",
        "logs:TagResource",
        "logs:PutRetentionPolicy",
        "logs:DeleteLogGroup",
        "logs:FilterLogEvents",
    ]
    return _allow(actions, group, f"{group}:*")


def _not_narrowed() -> Policy:
    """Allow actions that IAM cannot limit, such as those on names of functions and layers."""
    actions = [
        "logs:DescribeLogGroups",
        "lambda:ListFunctions",
        "lambda:ListLayers",
        "lambda:ListLayerVersions",
        "lambda:GetAccountSettings",
    ]
    return _allow(actions, "*")


def _in_buckets(names: Names, actions: list[str], *places: str) -> Policy:
    """Allow actions on dolambda's buckets if this account owns them: their names can be guessed."""
    statement = _allow(actions, *places)
    statement["Condition"] = {"StringEqualsIfExists": {"aws:ResourceAccount": names.account}}
    return statement


def _buckets(names: Names) -> list[str]:
    """Return the ARNs of the stack's bucket and of the one that dolambda would name."""
    return list(dict.fromkeys((names.bucket_arn, names.default.bucket_arn)))


def _policy(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(actions: list[str], *resources: str) -> Policy:
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}
