"""A function's states: what Lambda refuses while it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from support.strict_aws.base import Response, rule

if TYPE_CHECKING:
    from support.strict_aws.base import Request, World

_PAYLOAD = 6_291_456
_CHANGES = (
    "lambda:UpdateFunctionConfiguration",
    "lambda:UpdateFunctionCode",
    "lambda:DeleteFunction",
    "lambda:PutFunctionConcurrency",
)


@rule("lambda:CreateFunction", "lambda:GetFunctionConfiguration", *_CHANGES)
def pending_and_in_progress(request: Request, world: World) -> Response | None:
    """Be Pending after a creation and InProgress after an update, and refuse changes meanwhile.

    409 ResourceConflictException "The operation cannot be performed at this time. The function is
    currently in the following state: Pending" / "... An update is in progress for resource: ...":
    developer guide, "Lambda function states"; ansible-collections/community.aws #830.
    """
    name, memory = request.params["FunctionName"], world.memory
    if request.operation == "GetFunctionConfiguration":
        busy, looks = memory.get(name, ("", 0))
        if not busy:
            return None
        memory[name] = (busy if looks > 1 else "", looks - 1)
        shown = {"State": "Pending"} if busy == "Pending" else {"LastUpdateStatus": "InProgress"}
        try:
            found = world.ask("lambda", "GetFunctionConfiguration", FunctionName=name)
        except ClientError:  # its creation was refused after this rule had seen it
            return None
        return Response(200, {**found, **shown})
    busy, _ = memory.get(name, ("", 0))
    if request.operation == "CreateFunction":
        memory[name] = ("Pending", world.options.update_looks)
        return None
    if busy:
        text = (
            f"The function is currently in the following state: {busy}"
            if busy == "Pending"
            else f"An update is in progress for resource: {name}"
        )
        return Response.refused(
            409,
            "ResourceConflictException",
            f"The operation cannot be performed at this time. {text}",
        )
    if request.operation.startswith("Update"):
        memory[name] = ("InProgress", world.options.update_looks)
    else:
        memory.pop(name, None)
    return None


@rule(
    "lambda:CreateFunction",
    "lambda:GetFunctionConfiguration",
    "lambda:PutFunctionEventInvokeConfig",
    "lambda:AddPermission",
)
def function_known_late(request: Request, world: World) -> Response | None:
    """Know a new function only after each kind of request has asked for it once.

    404 ResourceNotFoundException "Function not found: arn:aws:lambda:...": what Terraform met in
    its requests after CreateFunction, hashicorp/terraform-provider-aws #25440, #7214,
    moritzzimmer/terraform-aws-lambda #128.
    """
    name = request.params["FunctionName"]
    unknown = world.memory.setdefault(name, set())
    if request.operation == "CreateFunction":
        others = ("GetFunctionConfiguration", "PutFunctionEventInvokeConfig", "AddPermission")
        unknown.update(others)
        return None
    if request.operation not in unknown:
        return None
    unknown.discard(request.operation)
    try:
        arn = world.ask("lambda", "GetFunction", FunctionName=name)["Configuration"]["FunctionArn"]
    except ClientError:  # its creation was refused after this rule had seen it
        return None
    return Response.refused(404, "ResourceNotFoundException", f"Function not found: {arn}")


@rule("lambda:GetFunctionConfiguration", "lambda:UpdateFunctionConfiguration")
def update_failed(request: Request, world: World) -> Response | None:
    """Show that an update, which was accepted, failed, and why.

    LastUpdateStatus "Failed", LastUpdateStatusReason "We currently do not have sufficient capacity
    in the region you requested. Our system will be working on provisioning additional capacity.":
    API reference of GetFunctionConfiguration; developer guide, "Lambda function states".
    """
    name = request.params["FunctionName"]
    if request.operation == "UpdateFunctionConfiguration":
        world.memory[name] = world.options.update_fails
    elif world.memory.get(name):
        found = world.ask("lambda", "GetFunctionConfiguration", FunctionName=name)
        why = "We currently do not have sufficient capacity in the region you requested."
        shown = {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": why}
        return Response(200, {**found, **shown, "LastUpdateStatusReasonCode": "InternalError"})
    return None


@rule("lambda:GetFunctionConfiguration")
def environment_unreadable(request: Request, world: World) -> Response | None:
    """Show an error in place of the variables where a KMS key denies their decryption.

    "Lambda was unable to decrypt your environment variables because the KMS access was denied.
    Please check your KMS permissions.": API reference, EnvironmentResponse.Error.
    """
    if not world.options.kms_denied:
        return None
    found = world.ask("lambda", "GetFunctionConfiguration", **request.params)
    text = (
        "Lambda was unable to decrypt your environment variables because the KMS access was "
        "denied. Please check your KMS permissions."
    )
    error = {"ErrorCode": "AccessDeniedException", "Message": text}
    return Response(200, {**found, "Environment": {"Error": error}})


@rule("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration")
def environment_size(request: Request, _: World) -> Response | None:
    """Refuse an environment of more than 4 KB: developer guide, "Lambda quotas".

    "Lambda was unable to configure your environment variables because the environment variables
    you have provided exceeded the 4KB limit."
    """
    variables = request.params.get("Environment", {}).get("Variables", {})
    size = sum(len(name) + len(value) for name, value in variables.items())
    if size <= 4096:
        return None
    return Response.refused(
        400,
        "InvalidParameterValueException",
        "Lambda was unable to configure your environment variables because the environment "
        "variables you have provided exceeded the 4KB limit. String measured: ...",
    )


@rule("lambda:Invoke")
def payload_size(request: Request, _: World) -> Response | None:
    """Refuse to call a function with more than 6 MiB.

    "Request must be smaller than 6291456 bytes for the InvokeFunction operation": developer guide,
    "Lambda quotas", invocation payload.
    """
    size = len(request.params.get("Payload", b""))
    if size <= _PAYLOAD:
        return None
    return Response.refused(
        413,
        "RequestTooLargeException",
        f"Request must be smaller than {_PAYLOAD} bytes for the InvokeFunction operation",
    )


@rule("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration")
def runtimes_known(request: Request, world: World) -> Response | None:
    """Refuse a runtime that Lambda does not have: the enum of its service model.

    "Value ... at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [...]
    or be a valid ARN": Lambda's answer, such as aws/aws-cdk #16268. Of one that it has no more:
    "The runtime parameter of python3.8 is no longer supported for creating or updating AWS Lambda
    functions. We recommend you use the new runtime (python3.14)": developer guide, "Lambda
    runtimes", deprecation policy: "block function create", "block function update".
    """
    import botocore.session  # noqa: PLC0415 - only here

    model = botocore.session.get_session().get_service_model("lambda")
    runtime, known = request.params.get("Runtime"), model.shape_for("Runtime").enum
    if runtime in world.options.deprecated_runtimes:
        return Response.refused(
            400,
            "InvalidParameterValueException",
            f"The runtime parameter of {runtime} is no longer supported for creating or updating "
            "AWS Lambda functions. We recommend you use the new runtime (python3.14) while "
            "creating or updating functions.",
        )
    if runtime is None or runtime in known:
        return None
    return Response.refused(
        400,
        "InvalidParameterValueException",
        f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum "
        "value set: [...] or be a valid ARN",
    )
