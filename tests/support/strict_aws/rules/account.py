"""What an account allows, and what its line to AWS carries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from support.strict_aws.base import Response, rule

if TYPE_CHECKING:
    from support.strict_aws.base import Request, World

_CONNECT_TIMEOUT = 10
_UNRESERVED_MINIMUM = 100
_AROUND = 149  # bytes of a request that holds a zip, beside it


def _reserved(world: World) -> int:
    """All reservations of the account, elsewhere and here."""
    total = world.options.reserved_elsewhere
    for function in world.ask("lambda", "ListFunctions")["Functions"]:
        total += reserved_of(world, function["FunctionName"])
    return total


def reserved_of(world: World, function: str) -> int:
    """One function's reservation, 0 for none."""
    found = world.ask("lambda", "GetFunctionConcurrency", FunctionName=function)
    return int(found.get("ReservedConcurrentExecutions") or 0)


@rule("lambda:*", "iam:*", "s3:*", "logs:*")
def denied_actions(request: Request, world: World) -> Response | None:
    """Deny what the test says, for its reason: an older policy, or the organisation's.

    "User: ... is not authorized to perform: lambda:GetAccountSettings on resource: * because no
    identity-based policy allows the lambda:GetAccountSettings action", "... with an explicit deny
    in a service control policy": IAM user guide, "Troubleshoot access denied error messages".
    """
    action = f"{request.service}:{request.operation}"
    if action not in world.options.denied:
        return None
    return Response.refused(
        403,
        "AccessDenied" if request.service in ("s3", "iam") else "AccessDeniedException",
        f"User: arn:aws:iam::{world.options.account}:user/someone is not authorized to perform: "
        f"{action} on resource: * {world.options.denied_by.format(action=action)}",
    )


@rule("lambda:GetAccountSettings")
def account_settings(_: Request, world: World) -> Response | None:
    """Answer with the account's limits, as the API reference of GetAccountSettings has them."""
    limit = world.options.concurrent_executions
    limits: dict[str, Any] = {
        "TotalCodeSize": 80_530_636_800,
        "CodeSizeUnzipped": 262_144_000,
        "CodeSizeZipped": 52_428_800,
        "ConcurrentExecutions": limit,
        "UnreservedConcurrentExecutions": limit - _reserved(world),
    }
    return Response(200, {"AccountLimit": limits, "AccountUsage": {}})


@rule("lambda:PutFunctionConcurrency")
def unreserved_minimum(request: Request, world: World) -> Response | None:
    """Refuse to reserve what leaves less than 100 executions, or all that a small account has.

    "Specified ReservedConcurrentExecutions for function decreases account's
    UnreservedConcurrentExecution below its minimum value of [100]." New accounts say [10]
    (aws-samples/fhir-works-on-aws-deployment #691, serverless forum). Developer guide, "Reserving
    concurrency for a function": 100 stay unreserved.
    """
    wanted = request.params["ReservedConcurrentExecutions"]
    limit = world.options.concurrent_executions
    minimum = min(_UNRESERVED_MINIMUM, limit)
    others = _reserved(world) - reserved_of(world, request.params["FunctionName"])
    if wanted and limit - others - wanted < minimum:
        return Response.refused(
            400,
            "InvalidParameterValueException",
            "Specified ReservedConcurrentExecutions for function decreases account's "
            f"UnreservedConcurrentExecution below its minimum value of [{minimum}].",
        )
    return None


@rule("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration")
def memory_of_new_accounts(request: Request, world: World) -> Response | None:
    """Refuse more memory than the account allows.

    "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to
    3008": aws/aws-sam-cli and serverless issues since December 2020.
    """
    most = world.options.max_memory
    if request.params.get("MemorySize", 0) <= most:
        return None
    return Response.refused(
        400,
        "InvalidParameterValueException",
        "'MemorySize' value failed to satisfy constraint: Member must have value less than or "
        f"equal to {most}",
    )


@rule("lambda:*")
def slow_line(request: Request, world: World) -> Response | None:
    """Cut a request whose body does not fit through the line within the connect time-out.

    urllib3 keeps the connect time-out on the socket until the request is sent, and Python's write
    of one ``bytes`` has it as its total time: measured with a TLS server that reads 2 MB/s.
    boto3 says "Connection was closed before we received a valid response".
    """
    from botocore.exceptions import ConnectionClosedError  # noqa: PLC0415 - as boto3 raises it

    size = sum(len(value) for value in _blobs(request.params)) * 4 / 3
    if size > _CONNECT_TIMEOUT * world.options.line_bytes_per_s:
        raise ConnectionClosedError(endpoint_url=f"https://{request.service}/{request.operation}")
    return None


def _blobs(params: Any) -> list[bytes]:
    if isinstance(params, bytes):
        return [params]
    if isinstance(params, dict):
        return [blob for value in params.values() for blob in _blobs(value)]
    return []


@rule("lambda:PublishLayerVersion", "lambda:CreateFunction", "lambda:UpdateFunctionCode")
def request_size(request: Request, _: World) -> Response | None:
    """Refuse a request of more than 69,905,067 bytes, base64 included.

    "Request must be smaller than 69905067 bytes for the PublishLayerVersion operation":
    serverless/serverless #6749 and AWS's own answer to 50 MiB zips.
    """
    size = sum(-(-len(value) // 3) * 4 for value in _blobs(request.params)) + _AROUND
    if size < 69_905_067:
        return None
    return Response.refused(
        413,
        "RequestEntityTooLargeException",
        f"Request must be smaller than 69905067 bytes for the {request.operation} operation",
    )


@rule("iam:SimulatePrincipalPolicy")
def simulated_entity(request: Request, _: World) -> Response | None:
    """Refuse the ARN of a session: only users, groups and roles have policies to simulate.

    "Invalid Entity Arn: arn:aws:sts::... does not clearly define entity type and name.":
    aws-containers/amazon-ecs-exec-checker #10.
    """
    arn = request.params["PolicySourceArn"]
    if re.match(r"arn:[\w-]+:iam::\d{12}:(user|group|role)/", arn):
        return None
    return Response.refused(
        400,
        "InvalidInput",
        f"Invalid Entity Arn: {arn} does not clearly define entity type and name.",
    )
