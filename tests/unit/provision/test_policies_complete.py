"""The printed policies grant every call to AWS in the source, and nothing that it does not call.

Calls of boto3 are found in the source. Requests made by hand (libcurl, obstore, http.client) cannot
be: they are declared here, one table for each module that makes some.
"""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import botocore.session
import pytest
from botocore import xform_name

import dolambda
from dolambda.provision import policies
from dolambda.provision.names import Names
from dolambda.wire.keys import BLOBS, BUNDLES, JOBS, LAYERS, LEASES, OUTS, RUNS
from support.iam_actions import FURTHER, actions_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(dolambda.__file__).parent
SERVICES = ("iam", "lambda", "logs", "s3", "sts")
NAMES = Names.of("stack", "eu-central-1", "123456789012", "their-bucket")
POLICIES = {
    "worker": policies.worker(NAMES),
    "submitter": policies.submitter(NAMES),
    "deployer": policies.deployer(NAMES),
}

EMULATED = "the emulated AWS's root user, or a request whose denial is reported as a missing check"
RUN_BY = {
    "aws/account.py": ("submitter", "deployer"),
    "stack.py": ("submitter", "deployer"),
    "cli/log_entries.py": ("submitter", "deployer"),
    "cli/status.py": ("submitter", "deployer"),
    "cli/round_trip.py": ("submitter",),
    "cli/connect.py": (EMULATED,),
    "cli/doctor.py": (EMULATED,),
    "local/stack.py": (EMULATED,),
    **{
        f"provision/{name}.py": ("deployer",)
        for name in (
            *(
                "bucket",
                "bucket_objects",
                "bundle",
                "concurrency",
                "function",
                "function_state",
                "layer",
                "limits",
            ),
            *("log_group", "own_layers", "panic", "role", "rotate_key", "trigger", "tuning"),
        )
    },
}
"""Whose credentials a module's calls are made with."""

ALL = (JOBS, LEASES, OUTS, BLOBS, RUNS, LAYERS, BUNDLES)
PREFIXES: dict[tuple[str, str], tuple[str, ...]] = {
    ("provision/layer.py", "s3:PutObject"): (LAYERS,),
    ("provision/layer.py", "s3:DeleteObject"): (LAYERS,),
    ("provision/layer.py", "s3:GetObject"): (LAYERS,),
    ("provision/bundle.py", "s3:PutObject"): (BUNDLES,),
    ("provision/bundle.py", "s3:DeleteObject"): (BUNDLES,),
    ("provision/bucket_objects.py", "s3:DeleteObject"): ALL,
    ("provision/bucket_objects.py", "s3:DeleteObjectVersion"): ALL,
    ("provision/panic.py", "s3:PutObject"): (LEASES,),
    ("provision/panic.py", "s3:DeleteObject"): (JOBS,),
    ("cli/status.py", "s3:ListBucket"): (JOBS, OUTS),
}
"""Which objects a module's calls are about."""

BY_HAND: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "aws/invoke.py": {
        "submitter": {"lambda:InvokeFunction": ()},
        "deployer": {"lambda:InvokeFunction": ()},  # of temporary functions
    },
    "aws/small_objects.py": {
        "submitter": {"s3:PutObject": (JOBS, LEASES), "s3:GetObject": (OUTS,)},
    },
    "aws/objects.py": {
        "submitter": {
            "s3:PutObject": (JOBS, LEASES, BLOBS, RUNS),
            "s3:GetObject": (OUTS, BLOBS, RUNS, LEASES),
            "s3:HeadObject": (BLOBS,),
            "s3:ListBucket": (OUTS, JOBS, BLOBS, RUNS, LEASES),  # after a denied read, too
            "s3:DeleteObjects": (JOBS, LEASES, OUTS, RUNS),
        }
    },
    "aws/signed_s3.py": {
        "worker": {"s3:GetObject": (JOBS, LEASES, BLOBS, BUNDLES), "s3:PutObject": (OUTS,)},
    },
}
"""Requests made by hand: who makes them, and about which objects."""

BY_LAMBDA = {"worker": {"logs:CreateLogStream", "logs:PutLogEvents"}}
"""What Lambda itself does with the function's role."""

HTTP = {"pycurl", "obstore", "http.client", "urllib.request", "socket", "requests", "httpx"}
NOT_AWS = (
    *("local/", "r/", "bootstrap.py", "dashboard/", "cli/dashboard"),
    *("aws/reactor.py", "aws/curl_handles.py", "aws/__init__.py"),
    *("aws/proxies.py", "environment/own_distributions.py"),
)
"""Modules that talk to this machine or to Lambda's runtime, that send what modules above have made,
or that only read an address with a function of `urllib.request`.
"""


class Call(NamedTuple):
    """One operation in the source."""

    file: str
    operation: str

    def __repr__(self) -> str:
        return f"{self.operation} in {self.file}"


@cache
def operations() -> dict[str, dict[str, str]]:
    """Return each service's operations, by the name of their method."""
    session = botocore.session.get_session()
    return {
        service: {
            xform_name(name): name for name in session.get_service_model(service).operation_names
        }
        for service in SERVICES
    }


@cache
def trees() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(SOURCE)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }


def client_of(node: ast.expr) -> str | None:
    """Return the service of ``something.client("service")``; "" for one that is not written out."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return None
    if node.func.attr != "client" or not node.args:
        return None
    return str(node.args[0].value) if isinstance(node.args[0], ast.Constant) else ""


def calls(file: str, tree: ast.Module) -> Iterator[Call]:
    """Return what a module calls of boto3's clients, also where a method is only passed on."""
    clients = {
        ast.unparse(target): service
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and (service := client_of(node.value))
        for target in node.targets
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            method, owner = node.attr, node.value
            if method in ("get_paginator", "get_waiter"):
                continue
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr not in ("get_paginator", "get_waiter"):
                continue
            assert isinstance(node.args[0], ast.Constant), f"{file}:{node.lineno}"
            method, owner = str(node.args[0].value), node.func.value
        else:
            continue
        known = client_of(owner) or clients.get(ast.unparse(owner))
        services = [known] if known else [one for one in SERVICES if method in operations()[one]]
        if not any(method in operations()[one] for one in services) or is_super(owner):
            continue
        (service,) = services  # of an unknown client, a method that only one service has
        yield Call(file, f"{service}:{operations()[service][method]}")


def is_super(owner: ast.expr) -> bool:
    return ast.unparse(owner) == "super()"


@cache
def all_calls() -> frozenset[Call]:
    return frozenset(call for file, tree in trees().items() for call in calls(file, tree))


def needed(call: Call) -> Iterator[tuple[str, str]]:
    """Return actions, and resources on which they have to be allowed."""
    former = [NAMES.default.bucket_arn] if call.file.startswith("provision/bucket") else []
    for action in actions(call):
        prefixes = PREFIXES.get((call.file, action), ())
        for bucket in (NAMES.bucket_arn, *former):
            for found, resource in on(action, prefixes, bucket):
                own = resource == NAMES.function_arn and call.file == "provision/tuning.py"
                yield found, NAMES.tune_arns.replace("*", "512") if own else resource


def actions(call: Call) -> set[str]:
    """Return the actions of a call; a removal of versions, which only one module makes, has two."""
    versions = call == Call("provision/bucket_objects.py", "s3:DeleteObjects")
    return actions_of(call.operation) | ({"s3:DeleteObjectVersion"} if versions else set())


def on(action: str, prefixes: tuple[str, ...], bucket: str) -> Iterator[tuple[str, str]]:
    """Return an action with each resource that it is about; behind "|" the prefix of a listing."""
    if action == "s3:ListBucket":
        yield from ((action, f"{bucket}|{prefix}") for prefix in prefixes or ("",))
    elif action in ("s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:DeleteObjectVersion"):
        assert prefixes, f"it is not declared which objects {action} is about"
        yield from ((action, f"{bucket}/{prefix}x") for prefix in prefixes)
    else:
        yield action, bucket if action.startswith("s3:") else resource_of(action)


def resource_of(action: str) -> str:
    service, _, _ = action.partition(":")
    layer, group = NAMES.layer_arns.replace("*", "0123456789ab"), NAMES.log_group_arn[:-2]
    special = {
        "lambda:ListFunctions": "*",
        "lambda:ListLayers": "*",
        "lambda:ListLayerVersions": "*",
        "lambda:PublishLayerVersion": layer,
        "lambda:GetLayerVersion": f"{layer}:1",
        "lambda:DeleteLayerVersion": f"{layer}:1",
        "lambda:GetAccountSettings": "*",
        "logs:DescribeLogGroups": "*",
        "logs:FilterLogEvents": f"{group}:log-stream:",
        "logs:CreateLogStream": f"{group}:log-stream:x",
        "logs:PutLogEvents": f"{group}:log-stream:x",
    }
    usual = {"iam": NAMES.role_arn, "lambda": NAMES.function_arn, "logs": group}
    return special.get(action) or usual[service]


def allows(policy: dict[str, Any], action: str, resource: str) -> bool:
    """Return true if a statement allows it."""
    place, _, prefix = resource.partition("|")
    return any(
        action in statement["Action"]
        and any(place == one or fnmatchcase(place, one) for one in statement["Resource"])
        and any(fnmatchcase(prefix, one) for one in prefixes_of(statement))
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
    )


def prefixes_of(statement: dict[str, Any]) -> list[str]:
    found = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", ["*"])
    return list(found)


def by_hand(who: str) -> Iterator[tuple[str, str]]:
    for table in BY_HAND.values():
        for operation, prefixes in table.get(who, {}).items():
            for action in actions_of(operation):
                yield from on(action, prefixes, NAMES.bucket_arn)


def test_calls_are_found_in_each_way_of_writing_them() -> None:
    text = """
self._s3 = account.client("s3")
logs = account.client("logs")
self._s3.put_bucket_policy(Bucket="b")
self._asked(self._s3.get_bucket_tagging, "TagSet")
account.client("lambda").get_policy(FunctionName="f")
logs.get_paginator("filter_log_events")
client.get_function_concurrency(FunctionName="f")
self.client("sts").get_caller_identity()
nothing.of_the_kind()
"""
    assert {call.operation for call in calls("x.py", ast.parse(text))} == {
        "s3:PutBucketPolicy",
        "s3:GetBucketTagging",
        "lambda:GetPolicy",
        "logs:FilterLogEvents",
        "lambda:GetFunctionConcurrency",
        "sts:GetCallerIdentity",
    }


def test_no_module_uses_a_service_that_is_not_checked_here() -> None:
    used = {
        (file, service)
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.expr) and (service := client_of(node)) is not None
    }
    assert {service for _, service in used} <= {*SERVICES, ""}
    assert {file for file, service in used if not service} == {
        "aws/account.py",  # makes all clients
        "provision/template.py",  # only takes a client's exceptions
    }


def test_of_each_call_it_is_known_who_makes_it() -> None:
    assert {call.file for call in all_calls()} <= {*RUN_BY, "aws/account.py"}


@pytest.mark.parametrize("who", ["submitter", "deployer"])
def test_a_policy_grants_what_the_source_calls(who: str) -> None:
    refused = {
        (call, action, resource)
        for call in all_calls()
        if who in RUN_BY[call.file]
        for action, resource in needed(call)
        if not allows(POLICIES[who], action, resource)
    }
    assert refused == set()


@pytest.mark.parametrize("who", ["worker", "submitter"])
def test_a_policy_grants_what_is_requested_by_hand(who: str) -> None:
    wanted = set(by_hand(who))
    assert len(wanted) > 3
    assert {one for one in wanted if not allows(POLICIES[who], *one)} == set()


@pytest.mark.parametrize("who", list(POLICIES))
def test_a_policy_grants_nothing_that_the_source_does_not_call(who: str) -> None:
    used = {action for call in all_calls() if who in RUN_BY[call.file] for action in actions(call)}
    used |= {action for action, _ in by_hand(who)} | BY_LAMBDA.get(who, set())
    granted = {action for one in POLICIES[who]["Statement"] for action in one["Action"]}
    assert granted - used == set()
    assert used - granted == set()


def test_what_modules_request_by_hand_is_declared() -> None:
    """Each counts its requests under the name of the action."""
    for file, table in BY_HAND.items():
        written = {
            node.value
            for node in ast.walk(trees()[file])
            if isinstance(node, ast.Constant) and node.value in all_operations()
        }
        assert written == {operation for one in table.values() for operation in one}, file


def all_operations() -> set[object]:
    found: set[object] = {
        f"{service}:{name}" for service in SERVICES for name in operations()[service].values()
    }
    return found | {"s3:ListBucket", "lambda:InvokeFunction"}


def test_no_other_module_talks_http() -> None:
    talking = {
        file
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in imported(node)
        if name in HTTP or name.partition(".")[0] in HTTP
    }
    assert {file for file in talking if not file.startswith(NOT_AWS)} <= set(BY_HAND)
    assert "aws/objects.py" in talking


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    return [node.module or "", *(f"{node.module}.{one.name}" for one in node.names)]


def test_a_policy_without_an_action_is_found_out() -> None:
    for who, policy in POLICIES.items():
        wanted = set(wanted_of(who))
        for statement in policy["Statement"]:
            for action in statement["Action"]:
                less = {**statement, "Action": [a for a in statement["Action"] if a != action]}
                rest = [one for one in policy["Statement"] if one is not statement]
                found = {"Statement": [*rest, less]}
                assert not all(allows(found, *one) for one in wanted), (who, action)


def test_a_policy_without_a_resource_is_found_out() -> None:
    """Nothing in a policy is there without a call that needs it."""
    unneeded = set()
    for who, policy in POLICIES.items():
        wanted = set(wanted_of(who))
        for statement in policy["Statement"]:
            for place in statement["Resource"]:
                less = {**statement, "Resource": [p for p in statement["Resource"] if p != place]}
                rest = [one for one in policy["Statement"] if one is not statement]
                if all(allows({"Statement": [*rest, less]}, *one) for one in wanted):
                    unneeded.add((who, statement["Action"][0], place))
    assert unneeded == set()


def wanted_of(who: str) -> Iterator[tuple[str, str]]:
    yield from by_hand(who)
    yield from ((action, resource_of(action)) for action in BY_LAMBDA.get(who, ()))
    for call in all_calls():
        if who in RUN_BY[call.file]:
            yield from needed(call)


def test_what_operations_need_in_addition_is_of_operations_that_are_called() -> None:
    assert set(FURTHER) <= {call.operation for call in all_calls()}
