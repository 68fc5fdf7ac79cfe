"""IAM's actions of AWS's operations, as the Service Authorization Reference has them.

https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

FREE = {"sts:GetCallerIdentity"}
"""Operations that need no permission."""

OTHER_NAMES = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "lambda:Invoke": "lambda:InvokeFunction",
    "lambda:GetLayerVersionByArn": "lambda:GetLayerVersion",
}
"""Operations whose action has another name."""

FURTHER = {
    "iam:CreateRole": {"iam:TagRole"},
    "logs:CreateLogGroup": {"logs:TagResource"},
    "lambda:CreateFunction": {"lambda:TagResource", "lambda:GetLayerVersion", "iam:PassRole"},
    "lambda:UpdateFunctionConfiguration": {"lambda:GetLayerVersion", "iam:PassRole"},
    "lambda:PublishLayerVersion": {"s3:GetObject"},
}
"""What operations need in addition, with the parameters that deploy gives them."""


def actions_of(operation: str) -> set[str]:
    """Return all actions that an operation needs; it is written as an action, "s3:HeadBucket"."""
    if operation in FREE:
        return set()
    return {OTHER_NAMES.get(operation, operation), *FURTHER.get(operation, ())}
