"""Lambda's layers, as a function takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.strict_aws.base import Response, rule

if TYPE_CHECKING:
    from support.strict_aws.base import Request, World

_MOST = 5
_UNZIPPED = 262_144_000


def _refused(message: str) -> Response:
    return Response.refused(400, "InvalidParameterValueException", message)


@rule("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration")
def two_versions_of_a_layer(request: Request, _: World) -> Response | None:
    """Refuse two versions of one layer.

    "Two different versions of the same layer are not allowed to be referenced in the same
    function. ... and ... are versions of the same layer": serverless-plugin-datadog #195,
    serverless-spy #32.
    """
    seen: dict[str, str] = {}
    for arn in request.params.get("Layers", []):
        other = seen.setdefault(arn.rpartition(":")[0], arn)
        if other != arn:
            return _refused(
                "Two different versions of the same layer are not allowed to be referenced in the "
                f"same function. {other} and {arn} are versions of the same layer"
            )
    return None


@rule("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration")
def five_layers(request: Request, _: World) -> Response | None:
    """Refuse a sixth layer: developer guide, "Lambda quotas", Function layers: five."""
    if len(request.params.get("Layers", [])) <= _MOST:
        return None
    return _refused(f"Cannot reference more than {_MOST} layers.")


def _layer(arn: str, world: World) -> dict[str, Any]:
    name, _, version = arn.rpartition(":")
    found = world.ask("lambda", "GetLayerVersion", LayerName=name, VersionNumber=int(version))
    if name.endswith(":mine") and world.options.own_layer_bytes:
        found["Content"]["CodeSize"] = world.options.own_layer_bytes
    return found


@rule("lambda:GetLayerVersion")
def own_layer_size(request: Request, world: World) -> Response | None:
    """Show the size that a layer is meant to have, which no test uploads."""
    if not world.options.own_layer_bytes:
        return None
    arn = f"{request.params['LayerName']}:{request.params['VersionNumber']}"
    return Response(200, _layer(arn, world))


@rule("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration")
def code_with_layers(request: Request, world: World) -> Response | None:
    """Refuse code and layers of more than 250 MiB, here as zipped: the emulator does not unzip.

    "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. The
    actual size is ... bytes.": many issues, such as serverless/serverless #8794.
    """
    total = sum(
        _layer(arn, world)["Content"]["CodeSize"] for arn in request.params.get("Layers", [])
    )
    if total <= _UNZIPPED:
        return None
    return _refused(
        "Function code combined with layers exceeds the maximum allowed size of "
        f"{_UNZIPPED} bytes. The actual size is {total} bytes."
    )
