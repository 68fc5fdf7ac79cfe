"""The whole stack as one CloudFormation template, for an administrator to review and create.

The template is not a second description of the stack: deploy runs as if the account were empty, and
every writing request is intercepted and translated into properties of a resource.

**Input:** an account and a stack's resources. **Output:** a `Template`: the document, and the files
that have to be uploaded. Nothing is changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dolambda.provision.commands import READS
from dolambda.provision.deploy import deploy
from dolambda.provision.template_resources import KEY, PREFIX, UPLOADS, Translator
from dolambda.wire.keys import BUNDLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dolambda.aws.account import Account
    from dolambda.provision.names import Names
    from dolambda.provision.plan import Resource

_PASSED_ON = ("GetAccountSettings", "GetCallerIdentity", "GetLayerVersion")
"""Requests that AWS replies to: they concern the account, or layers of others."""

_EMPTY: dict[str, dict[str, Any]] = {
    "DescribeLogGroups": {"logGroups": []},
    "GetBucketNotificationConfiguration": {},
    "ListLayers": {"Layers": []},
    "ListObjectsV2": {},
}
"""Replies of an empty account that are no errors."""

_ABSENT = {
    "s3": "NoSuchBucket",
    "iam": "NoSuchEntity",
    "lambda": "ResourceNotFoundException",
    "logs": "ResourceNotFoundException",
}
"""Errors of an empty account for any other request, by service."""

_NO_BODY = {"HeadBucket": "404"}
"""A HEAD request has only its status as a code."""

_MAX_DESCRIPTION = 1024


@dataclass(frozen=True)
class Template:
    """A CloudFormation template and its files."""

    document: dict[str, Any]
    uploads: Mapping[str, bytes]
    """Files for the bucket that the template's parameters name, before the stack is created."""
    objects: Mapping[str, bytes]
    """Objects for the stack's own bucket, by key, once the stack is created."""

    @classmethod
    def of(cls, account: Account, names: Names, parts: Sequence[Resource]) -> Template:
        """Translate the changes that ``parts`` would make in an empty account."""
        translator = Translator()
        account.intercept(_EmptyAccount(account, names, translator).answer)
        try:
            deploy(list(parts))
        finally:
            account.intercept(lambda *_: None)
        bundles = {key: body for key, body in translator.objects.items() if key.startswith(BUNDLES)}
        document = {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": _description(names, translator.uploads),
            "Metadata": {"dolambda": _metadata(names, translator.uploads, bundles)},
            "Parameters": _PARAMETERS,
            "Resources": translator.resources(),
            "Outputs": _outputs(names),
        }
        return cls(document, translator.uploads, bundles)

    def write(self, directory: Path) -> None:
        """Write the files that have to be uploaded."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in {**self.uploads, **self.objects}.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


_PARAMETERS: dict[str, dict[str, Any]] = {
    UPLOADS: {
        "Type": "String",
        "Description": "Bucket in this region that holds the files in the template's Metadata.",
        "AllowedPattern": "[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    },
    PREFIX: {
        "Type": "String",
        "Description": "What the files' names begin with in that bucket, such as dolambda/.",
        "Default": "",
    },
    KEY: {
        "Type": "String",
        "Description": "Key that signs jobs and replies: 64 random hexadecimal digits, such as "
        "`openssl rand -hex 32` prints. Keep it secret.",
        "AllowedPattern": "[0-9a-f]{64}",
        "ConstraintDescription": "64 lower-case hexadecimal digits",
        "NoEcho": True,
    },
}


def _description(names: Names, uploads: Mapping[str, bytes]) -> str:
    layers = len(uploads) - 1
    more = f" and {layers} layer-*.zip" if layers else ""
    return (
        f"The dolambda stack {names.stack} for account {names.account} in {names.region}. First "
        f"upload the worker-*.zip{more} that `dolambda template cloudformation --output DIR` "
        f"writes to a bucket in {names.region}, and pass it as {UPLOADS}. The Metadata lists the "
        "files with their digests."
    )[:_MAX_DESCRIPTION]


def _metadata(
    names: Names, uploads: Mapping[str, bytes], bundles: Mapping[str, bytes]
) -> dict[str, Any]:
    before = [
        {"File": name, "UploadTo": f"s3://{{{UPLOADS}}}/{{{PREFIX}}}{name}", **_described(content)}
        for name, content in uploads.items()
    ]
    after = [
        {"File": key, "UploadTo": f"s3://{names.bucket}/{key}", **_described(content)}
        for key, content in bundles.items()
    ]
    return {
        "Files": "`dolambda template cloudformation --output DIR` writes all files.",
        "UploadBeforeCreating": before,
        **({"UploadAfterCreating": after} if after else {}),
    }


def _described(content: bytes) -> dict[str, Any]:
    return {"Bytes": len(content), "Sha256": hashlib.sha256(content).hexdigest()}


def _outputs(names: Names) -> dict[str, Any]:
    return {
        "Bucket": {"Description": "The job queue.", "Value": names.bucket},
        "Role": {
            "Description": "The workers' role. Deployers who may not read roles set role= to it.",
            "Value": names.role_arn,
        },
    }


class _EmptyAccount:
    """Replies to deploy's requests from an account in which nothing of the stack exists."""

    def __init__(self, account: Account, names: Names, translator: Translator) -> None:
        self._account = account
        self._passed_on = (*_PASSED_ON, "GetRole") if names.own_role else _PASSED_ON
        self._translator = translator

    def answer(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """Return the reply to a request, or None for a request that AWS replies to."""
        if operation in self._passed_on:
            return None
        if not operation.startswith(READS):
            return self._translator.take(operation, params)
        if operation in _EMPTY:
            return _EMPTY[operation]
        code = _NO_BODY.get(operation) or _ABSENT[service]
        error = self._account.client(service).exceptions.from_code(code)
        raise error({"Error": {"Code": code, "Message": "not there"}}, operation)
