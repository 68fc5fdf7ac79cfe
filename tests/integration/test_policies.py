"""Each policy suffices for its work and holds nothing that this work does not use, under the
emulator's IAM.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dolambda import LambdaExecutor
from dolambda.aws.account import Account, Credentials
from dolambda.errors import AccessDeniedError, DolambdaError
from dolambda.local.stack import root
from dolambda.provision import policies
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.provision.panic import Panic
from dolambda.provision.rotate_key import Rotation
from dolambda.provision.tuning import TemporaryFunctions, leftovers
from dolambda.registration import register, unregister
from dolambda.settings import Settings
from support.iam_actions import actions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.local.instance import Instance
    from dolambda.session import Session


def actions(policy: policies.Policy) -> set[str]:
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def quirks(policy: policies.Policy, stack: str) -> policies.Policy:
    """What the pinned emulator asks for where AWS asks for something else; granted so that the rest
    can be enforced.

    It takes ListLayerVersions for lambda:ListLayers, CreateFunction for one on "*", and the
    event-invoke-config for GetFunction.
    """
    with_quirks = copy.deepcopy(policy)
    function, layer = (
        f"arn:aws:lambda:us-east-1:000000000000:function:{stack}",
        f"arn:aws:lambda:us-east-1:000000000000:layer:{stack}-requires-*",
    )
    with_quirks["Statement"] += [
        {"Effect": "Allow", "Action": ["lambda:ListLayers"], "Resource": [layer]},
        {"Effect": "Allow", "Action": ["lambda:GetFunction"], "Resource": [function]},
    ]
    if "lambda:CreateFunction" in actions(policy):
        with_quirks["Statement"].append(
            {"Effect": "Allow", "Action": ["lambda:CreateFunction"], "Resource": ["*"]}
        )
    return with_quirks


class User:
    """An IAM user of the emulated AWS, whose policy can be changed."""

    def __init__(self, admin: Account, name: str) -> None:
        self.iam, self.name = admin.client("iam"), name
        self.iam.create_user(UserName=name)
        made = self.iam.create_access_key(UserName=name)["AccessKey"]
        self.credentials = Credentials(made["AccessKeyId"], made["SecretAccessKey"])

    def may(self, policy: policies.Policy) -> None:
        self.iam.put_user_policy(
            UserName=self.name, PolicyName="p", PolicyDocument=json.dumps(policy)
        )

    def leave(self) -> None:
        self.iam.delete_user_policy(UserName=self.name, PolicyName="p")
        self.iam.delete_access_key(UserName=self.name, AccessKeyId=self.credentials.key)
        self.iam.delete_user(UserName=self.name)


@pytest.fixture
def user(admin: Account) -> Iterator[User]:
    made = User(admin, "somebody")
    yield made
    made.leave()


def without(policy: policies.Policy, action: str) -> policies.Policy:
    less = copy.deepcopy(policy)
    for statement in less["Statement"]:
        statement["Action"] = [other for other in statement["Action"] if other != action]
    less["Statement"] = [statement for statement in less["Statement"] if statement["Action"]]
    return less


@pytest.fixture
def through_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers take the way of large ones, through the bucket."""
    monkeypatch.setattr("dolambda.provision.layer._DIRECT", 0)


def tune(account: Account, settings: Settings) -> None:
    """Make a temporary function, call it, and find it as one that was left."""
    functions = TemporaryFunctions(account, settings.stack)
    name = functions.create(256, 30)
    account.client("lambda").invoke(FunctionName=name, Payload=b"{}")
    assert leftovers(account.client("lambda"), names_of(account, settings)) == [name]
    assert functions.close() == []


def whole_life(account: Account, settings: Settings) -> None:
    """Everything that a deployer does: make, find unchanged, change, tune, stop, start again,
    replace the key, remove.
    """
    deploy(resources(account, settings, here=True))
    deploy(resources(account, settings, here=True))
    deploy(resources(account, replace(settings, timeout=33, log_days=7, concurrency=3), here=True))
    account.client("lambda").update_function_code(FunctionName=settings.stack, ZipFile=_EMPTY_ZIP)
    deploy(resources(account, settings, here=True))
    tune(account, settings)
    Panic(account, settings.stack).begin()
    assert Panic(account, settings.stack).undo()
    Rotation(account, settings.stack).rotate()
    assert Rotation(account, settings.stack).finish()
    left = names_of(account, settings).bucket
    account.client("s3").put_object(Bucket=left, Key="layers/left", Body=b"by a killed deploy")
    destroy(resources(account, replace(settings, requires=()), here=True))


_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


@pytest.mark.usefixtures("through_bucket")
def test_the_deployer_policy_suffices_and_holds_nothing_else(
    instance: Instance, user: User
) -> None:
    settings, admin = root(instance, Settings(stack="seventh", requires=("cloudpickle",)))
    policy = policies.deployer(names_of(admin, settings))
    user.may(quirks(policy, "seventh"))
    account = Account.from_settings(settings, user.credentials)
    used: set[str] = set()

    def note(service: str, operation: str, params: dict[str, Any]) -> None:
        name = f"{service}:{operation}"
        used.update(actions_of(name))
        if any("VersionId" in one for one in params.get("Delete", {}).get("Objects", ())):
            used.add("s3:DeleteObjectVersion")

    account.intercept(note)
    whole_life(account, settings)
    # A bucket's policy is only put where there is TLS: test_second_opinion.py sees it used.
    # Another bucket, a boundary, policies that someone attached: tests/integration/provision.
    elsewhere = {
        "s3:GetBucketPolicy",
        "s3:PutBucketPolicy",
        "lambda:RemovePermission",
        "iam:DetachRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:DeleteRolePermissionsBoundary",
        "logs:FilterLogEvents",  # `dolambda logs`
    }
    assert used | elsewhere == actions(policy)
    assert not elsewhere & used
    assert [
        statement["Action"] for statement in policy["Statement"] if "*" in statement["Resource"]
    ] == [
        [
            "logs:DescribeLogGroups",
            "lambda:ListFunctions",
            "lambda:ListLayers",
            "lambda:ListLayerVersions",
            "lambda:GetAccountSettings",
        ]
    ]


@pytest.mark.usefixtures("through_bucket")
@pytest.mark.parametrize(
    "action",
    [
        "iam:CreateRole",
        "s3:CreateBucket",
        "s3:PutBucketNotification",
        "lambda:CreateFunction",
        "lambda:AddPermission",
        "lambda:ListTags",
        "lambda:UntagResource",
        "lambda:PutFunctionConcurrency",
        "lambda:DeleteFunctionConcurrency",
        "logs:DeleteLogGroup",
    ],
)
def test_without_an_action_it_fails_and_says_which(
    instance: Instance, user: User, action: str
) -> None:
    settings, admin = root(instance, Settings(stack="eighth", requires=()))
    user.may(quirks(without(policies.deployer(names_of(admin, settings)), action), "eighth"))
    with pytest.raises(AccessDeniedError, match=action) as caught:
        whole_life(Account.from_settings(settings, user.credentials), settings)
    assert "dolambda policy" in str(caught.value)
    destroy(resources(admin, settings, here=True))


def test_without_rights_on_roles_deploy_works_where_the_role_is_in_use(
    instance: Instance, user: User
) -> None:
    """An administrator made the stack, as with a template; its users may not even read roles."""
    settings, admin = root(instance, Settings(stack="ninth", requires=()))
    policy = quirks(policies.deployer(names_of(admin, settings)), "ninth")
    for statement in policy["Statement"]:
        kept = [action for action in statement["Action"] if not action.startswith("iam:")]
        statement["Action"] = kept
    policy["Statement"] = [statement for statement in policy["Statement"] if statement["Action"]]
    user.may(policy)
    account = Account.from_settings(settings, user.credentials)
    with pytest.raises(AccessDeniedError, match="iam:GetRole"):
        deploy(resources(account, settings, here=True))
    assert deploy(resources(admin, settings, here=True)) > 0
    assert deploy(resources(account, settings, here=True)) == 0
    # What concerns no role can still be changed.
    assert deploy(resources(account, replace(settings, log_days=7), here=True)) == 1
    destroy(resources(admin, settings, here=True))


def journey(settings: Settings, credentials: Credentials) -> None:
    """Everything that a submitter does: find the stack, send small and large, get answers, clean
    up.
    """
    big = bytes(300_000)
    register(
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        key=credentials.key,
        secret=credentials.secret,
        progress=False,
    )
    try:
        with LambdaExecutor() as executor:
            assert executor.submit(len, memoryview_of(big)).result(20) == len(big)
        with LambdaExecutor(transport="direct") as executor:
            assert executor.submit(len, memoryview_of(big)).result(20) == len(big)
    finally:
        unregister()


def memoryview_of(content: bytes) -> Any:
    import numpy as np  # noqa: PLC0415 - only arrays leave the pickle

    return np.frombuffer(content, dtype=np.uint8)


def test_the_submitter_policy_suffices(
    deployed: tuple[Settings, Credentials], admin: Account, user: User
) -> None:
    settings, _ = deployed
    user.may(policies.submitter(names_of(admin, settings)))
    journey(settings, user.credentials)


def must_fail(attempt: Callable[[], None], caplog: pytest.LogCaptureFixture) -> bool:
    """Whether an attempt fails, or warns that it could not clean up."""
    try:
        attempt()
    except (DolambdaError, TimeoutError):
        return True
    return "were not removed" in caplog.text


@pytest.mark.parametrize(
    "action",
    [
        "lambda:GetFunctionConfiguration",
        "lambda:GetFunctionConcurrency",
        "lambda:InvokeFunction",
        "s3:PutObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:DeleteObject",
    ],
)
def test_the_submitter_needs_each_action(
    deployed: tuple[Settings, Credentials],
    admin: Account,
    user: User,
    action: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings, _ = deployed
    policy = policies.submitter(names_of(admin, settings))
    assert action in actions(policy)
    assert len(actions(policy)) == 8
    user.may(without(policy, action))
    assert must_fail(lambda: journey(settings, user.credentials), caplog)
    s3, bucket = admin.client("s3"), names_of(admin, settings).bucket
    for prefix in ("jobs/", "outs/"):
        for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=entry["Key"])


def test_the_workers_policy_is_four_actions_on_its_own_prefixes(admin: Account) -> None:
    policy = policies.worker(names_of(admin, Settings()))
    held = {
        (action, place.rsplit(":", 1)[-1].split("/", 1)[-1])
        for one in policy["Statement"]
        for action in one["Action"]
        for place in one["Resource"]
    }
    assert {action for action, _ in held} == {
        "s3:GetObject",
        "s3:PutObject",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }
    assert {place for action, place in held if action == "s3:PutObject"} == {"outs/*"}
    assert {place for action, place in held if action == "s3:GetObject"} == {
        "jobs/*",
        "leases/*",
        "blobs/*",
        "bundles/*",
    }


def test_the_worker_cannot_call_lambda(session: Session) -> None:
    """A worker that could invoke its own function would be a runaway loop as well."""
    assert session.stack is not None
    name = session.stack.name

    def on_the_worker() -> str:
        import boto3  # noqa: PLC0415 - the Lambda runtime brings it

        client = boto3.client("lambda")
        try:
            client.invoke(FunctionName=name, Payload=b"{}")
        except client.exceptions.ClientError as error:
            return str(error.response["Error"]["Code"])
        return "allowed"

    with LambdaExecutor() as executor:
        assert executor.submit(on_the_worker).result(30) == "AccessDeniedException"
