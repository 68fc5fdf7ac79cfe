"""The changes of a plan as commands of the AWS CLI, for who would rather review and run them by hand.

They are not written down a second time: the changes are applied with every writing request caught on its way out, and printed. On
entry: resources; on leaving: lines for a shell, and beside them the files that they name. Nothing is changed.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from dolambda.provision.deploy import deploy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dolambda.aws.account import Account
    from dolambda.provision.plan import Change, Resource

_READS = ("Get", "List", "Head", "Describe")
_S3API = "s3"  # the CLI's `s3` is another thing; the API's operations are under `s3api`


def commands(account: Account, parts: list[Resource], directory: Path) -> list[str]:
    """Lines of shell that do what deploy would; what they upload is written into ``directory``, the signing key with it."""
    lines: list[str] = []
    written: dict[str, int] = {}

    def catch(service: str, operation: str, params: dict[str, Any]) -> dict[str, Any] | None:
        if operation.startswith(_READS):
            return None
        lines.append(_command(service, operation, params, directory, written))
        return {
            "LayerVersionArn": f"arn:aws:lambda:{account.region}:{account.number}:layer:{params.get('LayerName')}:1"
        }

    def announce(change: Change) -> None:
        lines.append(f"\n# {change.action} {change.what}: {change.why}")

    account.number  # noqa: B018 - asked for before requests are caught
    account.intercept(catch)
    deploy(parts, announce)
    return lines


def _command(
    service: str, operation: str, params: dict[str, Any], directory: Path, written: dict[str, int]
) -> str:
    words = ["aws", "s3api" if service == _S3API else service, _kebab(operation)]
    for name, value in params.items():
        words += _option(name, value, operation, directory, written)
    return " ".join(words)


def _option(
    name: str, value: object, operation: str, directory: Path, written: dict[str, int]
) -> Iterator[str] | list[str]:
    flag = f"--{_kebab(name)}"
    if name == "Code" and isinstance(value, dict):
        name, value = "ZipFile", value["ZipFile"]
        flag = "--zip-file"
    if name == "Environment":  # it holds the signing key, which belongs on no screen and in no log
        path = directory / f"{_kebab(operation)}-environment.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(value))
        return [flag, f"file://{path}"]
    if isinstance(value, bytes):
        return [flag, f"fileb://{_file(value, operation, directory, written)}"]
    if name == "Content" and isinstance(value, dict) and "ZipFile" in value:
        return ["--zip-file", f"fileb://{_file(value['ZipFile'], operation, directory, written)}"]
    if isinstance(value, (dict, list)):
        return [flag, shlex.quote(json.dumps(value))]
    return [flag, shlex.quote(str(value))]


def _file(content: bytes, operation: str, directory: Path, written: dict[str, int]) -> str:
    written[operation] = written.get(operation, 0) + 1
    path = directory / f"{_kebab(operation)}-{written[operation]}.zip"
    path.write_bytes(content)
    return str(path)


def _kebab(name: str) -> str:
    """CreateFunction -> create-function, as the CLI spells operations and parameters."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
