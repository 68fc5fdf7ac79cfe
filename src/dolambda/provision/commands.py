"""The changes of a plan as commands of the AWS CLI, to review and run manually.

The commands are not a second description of the changes. The changes are applied, but every writing
request is intercepted and printed, with the waits that AWS needs in between.

**Input:** resources. **Output:** lines for a shell, and the files that they name. Nothing is
changed.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from dolambda.provision.deploy import deploy

if TYPE_CHECKING:
    from pathlib import Path

    from dolambda.aws.account import Account
    from dolambda.provision.plan import Change, Resource

READS = ("Get", "List", "Head", "Describe")
"""Prefixes of operations that only read."""
_S3API = "s3"  # the CLI's `s3` is something else; the API's operations are under `s3api`
_STREAMS = ("PutObject", "Body")  # the only parameter for which the CLI takes a path
_WAITS = {
    "CreateRole": "sleep 15  # until Lambda knows the role",
    "PutRolePolicy": "sleep 5  # until the policy is in force",
    "CreateBucket": "aws s3api wait bucket-exists --bucket {Bucket}",
    "CreateFunction": "aws lambda wait function-active-v2 --function-name {FunctionName}",
    "UpdateFunctionConfiguration": (
        "aws lambda wait function-updated-v2 --function-name {FunctionName}"
    ),
    "UpdateFunctionCode": "aws lambda wait function-updated-v2 --function-name {FunctionName}",
    "CreateLogGroup": "sleep 5  # until CloudWatch knows the group",
    "AddPermission": "sleep 5  # until S3 knows the permission",
}
"""Waits after operations: AWS replies before all its parts know the change."""


def commands(account: Account, parts: list[Resource], directory: Path) -> list[str]:
    """Return lines of shell that do what deploy would do.

    Files to upload are written into ``directory``.
    """
    printed = _Printed(directory)
    account.number  # noqa: B018 - cached before requests are intercepted
    account.intercept(printed.catch)
    deploy(parts, printed.announce)
    return [*shell_settings(account), *printed.lines]


def shell_settings(account: Account) -> list[str]:
    """Return the lines that lead commands to the same account and region."""
    profile = account.session.profile_name
    values = {
        "AWS_REGION": account.region,
        "AWS_DEFAULT_REGION": account.region,
        "AWS_ENDPOINT_URL": account.endpoint_url,
        "AWS_PROFILE": None if profile == "default" else profile,
        "AWS_PAGER": "",
    }
    lines = [
        f"export {name}={shlex.quote(value)}" for name, value in values.items() if value is not None
    ]
    return ["set -e", *lines]


class _Printed:
    """Writing requests, as lines and files."""

    def __init__(self, directory: Path) -> None:
        self.lines: list[str] = []
        self._directory = directory
        self._layers = 0
        self._written: dict[str, int] = {}

    def announce(self, change: Change) -> None:
        self.lines.append(f"\n# {change.action} {change.what}: {change.why}")

    def catch(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """Print a writing request. Its reply is used only if a later request needs it."""
        if operation.startswith(READS):
            return None
        line = self._command(service, operation, params)
        answer = {}
        if operation == "PublishLayerVersion":  # its number is known only after its creation
            self._layers += 1
            name = f"LAYER_{self._layers}"
            line = f'{name}="$({line} --query LayerVersionArn --output text)"'
            answer = {"LayerVersionArn": f"${name}"}
        self.lines.append(line)
        if operation in _WAITS:
            words = {name: shlex.quote(str(value)) for name, value in params.items()}
            self.lines.append(_WAITS[operation].format(**words))
        return answer

    def _command(self, service: str, operation: str, params: dict[str, Any]) -> str:
        words = ["aws", "s3api" if service == _S3API else service, _kebab(operation)]
        for name, value in params.items():
            words += self._option(name, value, operation)
        return " ".join(words)

    def _option(self, name: str, value: object, operation: str) -> list[str]:
        flag = f"--{_kebab(name)}"
        if name in ("Code", "Content") and isinstance(value, dict) and "ZipFile" in value:
            flag, value = "--zip-file", value["ZipFile"]
        if name == "Environment":
            # It contains the signing key, which must not appear on a screen or in a log.
            path = self._directory / f"{_kebab(operation)}-environment.json"
            path.touch(mode=0o600)
            path.write_text(json.dumps(value), encoding="utf-8")
            return [flag, shlex.quote(f"file://{path}")]
        if isinstance(value, bytes):
            path = self._file(value, operation)
            scheme = "" if (operation, name) == _STREAMS else "fileb://"
            return [flag, shlex.quote(f"{scheme}{path}")]
        if isinstance(value, bool):
            return [flag if value else f"--no-{_kebab(name)}"]
        if name == "Layers" and isinstance(value, list):
            return [
                flag,
                *(f'"{arn}"' if arn.startswith("$") else shlex.quote(arn) for arn in value),
            ]
        if isinstance(value, (dict, list)):
            return [flag, shlex.quote(json.dumps(value))]
        return [flag, shlex.quote(str(value))]

    def _file(self, content: bytes, operation: str) -> Path:
        self._written[operation] = self._written.get(operation, 0) + 1
        path = self._directory / f"{_kebab(operation)}-{self._written[operation]}.zip"
        path.write_bytes(content)
        return path


def _kebab(name: str) -> str:
    """Return the CLI's name of an operation or parameter: create-function for CreateFunction."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
