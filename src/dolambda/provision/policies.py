"""Who may do what, and no more. On entry: a stack's names; on leaving: IAM policy documents.

worker      the role the function runs in. It may not write under jobs/, so it cannot call itself for ever.
submitter   whoever runs tasks
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolambda.wire.keys import BLOBS, JOBS, OUTS

if TYPE_CHECKING:
    from dolambda.provision.names import Names

Policy = dict[str, Any]

ASSUMED_BY_LAMBDA: Policy = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def worker(names: Names) -> Policy:
    """Read jobs and blobs, write replies and the log."""
    return _policy(
        _allow(["s3:GetObject"], f"{names.bucket_arn}/{JOBS}*", f"{names.bucket_arn}/{BLOBS}*"),
        _allow(["s3:PutObject"], f"{names.bucket_arn}/{OUTS}*"),
        _allow(["logs:CreateLogStream", "logs:PutLogEvents"], names.log_group_arn),
    )


def submitter(names: Names) -> Policy:
    """Find the stack, put jobs and blobs, list and read replies, remove jobs and replies."""
    listing = _allow(["s3:ListBucket"], names.bucket_arn)
    listing["Condition"] = {"StringLike": {"s3:prefix": [f"{OUTS}*", f"{JOBS}*", f"{BLOBS}*"]}}
    return _policy(
        _allow(["lambda:GetFunctionConfiguration"], names.function_arn),
        _allow(["s3:PutObject"], f"{names.bucket_arn}/{JOBS}*", f"{names.bucket_arn}/{BLOBS}*"),
        _allow(["s3:GetObject"], f"{names.bucket_arn}/{OUTS}*", f"{names.bucket_arn}/{BLOBS}*"),
        _allow(["s3:DeleteObject"], f"{names.bucket_arn}/{JOBS}*", f"{names.bucket_arn}/{OUTS}*"),
        listing,
    )


def _policy(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(actions: list[str], *resources: str) -> Policy:
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}
