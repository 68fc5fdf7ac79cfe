"""Requests as they come over HTTP, in boto3's words, and answers as AWS sends them.

**Input:** method, path, query, headers and body. **Output:** a `Request`; and for a `Response`, the
status, headers and body of the service's protocol. Both use the service models of botocore.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import RestXMLParser

from support.strict_aws.base import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.strict_aws.base import Response

_IGNORED_LITERALS = {"x-id"}
_QUERY_PROTOCOLS = ("iam", "sts")


@cache
def _model(service: str) -> Any:
    # Not a session's, whose models may be those of a client: that takes the bucket out of paths.
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def request_of(
    service: str, method: str, target: tuple[str, str], headers: Mapping[str, str], body: bytes
) -> Request | None:
    """Return what was asked for, None for an operation that no model has.

    ``target`` is the path and the query as they were sent; names of headers are in lower-case
    letters.
    """
    if service in _QUERY_PROTOCOLS:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        fields.pop("Version", None)
        return Request(service, fields.pop("Action", ""), fields)
    if service == "logs":
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        return Request(service, action, json.loads(body or b"{}"))
    return _rest_request(service, method, target, headers, body)


@cache
def _routes(service: str) -> tuple[tuple[str, str, re.Pattern[str], frozenset[str]], ...]:
    """Return each operation's name, method, pattern of its path, and literal parts of its query."""
    model, found = _model(service), []
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.deprecated:
            continue
        path, _, query = operation.http["requestUri"].partition("?")
        pattern = re.sub(r"\\{(\w+)\\\+\\}", r"(?P<\1>.+)", re.escape(path))
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", pattern)
        literal = {part for part in query.split("&") if part}
        literal = {part for part in literal if part.partition("=")[0] not in _IGNORED_LITERALS}
        found.append((name, operation.http["method"], re.compile(pattern + "/?"), literal))
    return tuple((name, verb, path, frozenset(literal)) for name, verb, path, literal in found)


def _rest_request(
    service: str, method: str, target: tuple[str, str], headers: Mapping[str, str], body: bytes
) -> Request | None:
    query = dict(parse_qsl(target[1], keep_blank_values=True))
    sent = {name if not value else f"{name}={value}" for name, value in query.items()} | set(query)
    best: tuple[int, str, dict[str, str]] | None = None
    for name, verb, pattern, literal in _routes(service):
        matched = pattern.fullmatch(target[0])
        if verb != method or matched is None or not literal <= sent:
            continue
        needed = _needed(service, name)
        if not all(
            where in (query if kind == "querystring" else headers) for kind, where in needed
        ):
            continue
        rank = 2 * len(literal) + len(needed)
        if best is None or rank > best[0]:
            best = (rank, name, matched.groupdict())
    if best is None:
        return None
    _, name, places = best
    params: dict[str, Any] = {key: unquote(value) for key, value in places.items()}
    shape = _model(service).operation_model(name).input_shape
    if shape is not None:
        members = shape.members
        params = {key: _scalar(members[key], value) for key, value in params.items()}
        params |= _outside_body(shape, query, headers) | _in_body(service, shape, body, headers)
    return Request(service, name, params)


@cache
def _needed(service: str, operation: str) -> tuple[tuple[str, str], ...]:
    """Return where required parameters are that are neither in the path nor in the body."""
    shape = _model(service).operation_model(operation).input_shape
    found = []
    for name in shape.required_members if shape is not None else ():
        serialized = shape.members[name].serialization
        if serialized.get("location") == "querystring":
            found.append(("querystring", serialized["name"]))
        elif serialized.get("location") == "header":
            found.append(("header", serialized["name"].lower()))
    return tuple(found)


def _outside_body(
    shape: Any, query: Mapping[str, str], headers: Mapping[str, str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        where = member.serialization.get("name", "")
        location = member.serialization.get("location")
        sent = query.get(where) if location == "querystring" else None
        sent = headers.get(where.lower()) if location == "header" else sent
        if sent is not None:
            found[name] = _scalar(member, sent)
    return found


def _scalar(member: Any, text: str) -> Any:
    if member.type_name in ("integer", "long"):
        return int(text)
    return text.lower() == "true" if member.type_name == "boolean" else text


def _in_body(service: str, shape: Any, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    payload = shape.serialization.get("payload")
    if payload and shape.members[payload].type_name in ("blob", "string"):
        content: Any = body
        if shape.members[payload].type_name == "string":
            content = _unchunked(body, headers).decode()
        return {payload: content}
    if not body:
        return {}
    if service != "s3":
        return dict(_json_value(shape, json.loads(body)))
    # A test's own.
    node = _without_namespaces(ET.fromstring(_unchunked(body, headers)))  # noqa: S314
    member = shape.members[payload] if payload else shape
    value = RestXMLParser()._parse_shape(member, node)
    return {payload: value} if payload else dict(value)


def _unchunked(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a body without the lengths of its chunks, which boto3 adds for a checksum."""
    if "aws-chunked" not in headers.get("content-encoding", ""):
        return body
    content, left = b"", body
    while left:
        size, _, left = left.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not length:
            break
        content, left = content + left[:length], left[length + 2 :]
    return content


def _without_namespaces(node: ET.Element) -> ET.Element:
    for one in node.iter():
        one.tag = one.tag.rpartition("}")[2]
    return node


def _json_value(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {
            member.serialization.get("name", name): (name, member)
            for name, member in shape.members.items()
        }
        known = {key: names[key] for key in value if key in names}
        return {name: _json_value(member, value[key]) for key, (name, member) in known.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_json_value(shape.member, one) for one in value]
    if shape.type_name == "blob" and isinstance(value, str):
        return base64.b64decode(value)
    return value


def encoded(
    request: Request, response: Response, method: str
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body of an answer, in the service's own protocol."""
    error = response.body.get("Error")
    body = {name: value for name, value in response.body.items() if name != "ResponseMetadata"}
    if request.service == "s3":
        text = _s3_error(error) if error else _s3_result(request.operation, body)
        kind = "application/xml"
    elif request.service in _QUERY_PROTOCOLS:
        text = _query_error(error) if error else ""
        kind = "text/xml"
    else:
        kind = "application/x-amz-json-1.1" if request.service == "logs" else "application/json"
        text = json.dumps(_json_error(error) if error else body, default=str)
    headers = [(b"content-type", kind.encode()), (b"x-amzn-requestid", b"strict-aws")]
    if error:
        headers.append((b"x-amzn-errortype", str(error["Code"]).encode()))
    return response.status, headers, b"" if method == "HEAD" else text.encode()


def _json_error(error: Mapping[str, Any]) -> dict[str, Any]:
    more = {name: value for name, value in error.items() if name not in ("Code", "Message")}
    return {"__type": error["Code"], "message": error["Message"], **more}


def _s3_error(error: Mapping[str, Any]) -> str:
    code, message = escape(error["Code"]), escape(error["Message"])
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"


def _query_error(error: Mapping[str, Any]) -> str:
    inner = f"<Code>{error['Code']}</Code><Message>{escape(error['Message'])}</Message>"
    return f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error></ErrorResponse>"


def _s3_result(operation: str, body: Mapping[str, Any]) -> str:
    if operation == "GetBucketLocation":
        return f"<LocationConstraint>{body['LocationConstraint']}</LocationConstraint>"
    shape = _model("s3").operation_model(operation).output_shape
    if shape is None or not body:
        return ""
    root = {"DeleteObjects": "DeleteResult"}.get(operation, operation + "Result")
    return f"<{root}>{_xml_members(shape, body)}</{root}>"


def _xml_members(shape: Any, value: Mapping[str, Any]) -> str:
    text = ""
    for name, content in value.items():
        with contextlib.suppress(KeyError):  # metadata that boto3 adds
            member = shape.members[name]
            tag = member.serialization.get("name", name)
            for one in content if isinstance(content, list) else [content]:
                inner = member.member if member.type_name == "list" else member
                nested = _xml_members(inner, one) if isinstance(one, dict) else escape(str(one))
                text += f"<{tag}>{nested}</{tag}>"
    return text
