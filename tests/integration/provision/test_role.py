"""The role: bounded as an organisation demands, or made by its administrator."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.environment.layer import Contents
from dolambda.errors import ConfigurationError, ProvisionError
from dolambda.provision import policies
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.settings import Settings

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from support.strict_aws import StrictAws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SETTINGS = Settings(stack="bound", region="eu-central-1", requires=())
THEIRS = "arn:aws:iam::123456789012:role/team/made-by-an-administrator"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"


def put(account: Account, settings: Settings) -> int:
    return deploy(resources(account, settings, here=False, contents=Contents()))


def test_a_boundary_is_set_changed_and_removed(account: Account) -> None:
    def bound() -> str | None:
        role = account.client("iam").get_role(RoleName="bound-worker-eu-central-1")["Role"]
        found = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return str(found) if found else None

    for wanted in (BOUNDARY, BOUNDARY + "-2", None, BOUNDARY):
        settings = replace(SETTINGS, permissions_boundary=wanted)
        put(account, settings)
        assert bound() == wanted
        assert put(account, settings) == 0


def test_a_given_role_is_used_and_neither_changed_nor_removed(
    account: Account, strict: StrictAws
) -> None:
    iam, settings = account.client("iam"), replace(SETTINGS, role=THEIRS)
    with pytest.raises(ProvisionError, match=r"does not exist\n.*dolambda policy worker"):
        put(account, settings)
    assert account.client("s3").list_buckets()["Buckets"] == []
    iam.create_role(
        RoleName="made-by-an-administrator",
        Path="/team/",
        AssumeRolePolicyDocument=json.dumps(policies.ASSUMED_BY_LAMBDA),
    )
    strict.requests.clear()
    put(account, settings)
    assert put(account, settings) == 0
    found = account.client("lambda").get_function_configuration(FunctionName="bound")
    assert found["Role"] == THEIRS
    destroy(resources(account, settings, here=False, contents=Contents()))
    asked = {one.operation for one in strict.requests if one.service == "iam"}
    assert asked == {"GetRole"}
    assert [role["Arn"] for role in iam.list_roles()["Roles"]] == [THEIRS]


def trust(**statement: object) -> str:
    allowed = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed | statement]})


@pytest.mark.parametrize(
    ("document", "usable"),
    [
        (trust(Principal={"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]}), True),
        (trust(Principal={"Service": "lambda.amazonaws.com"}, Action=["sts:*"]), True),
        (trust(Principal={"Service": "ec2.amazonaws.com"}), False),
        (trust(Principal={"AWS": "123456789012"}), False),
        (trust(Principal={"Service": "lambda.amazonaws.com"}, Effect="Deny"), False),
        (trust(Principal={"Service": "lambda.amazonaws.com"}, Action="sts:TagSession"), False),
    ],
)
def test_a_given_role_has_to_trust_lambda(account: Account, document: str, *, usable: bool) -> None:
    settings = replace(SETTINGS, role=THEIRS)
    account.client("iam").create_role(
        RoleName="made-by-an-administrator", Path="/team/", AssumeRolePolicyDocument=document
    )
    if usable:
        assert put(account, settings) > 0
        return
    with pytest.raises(ProvisionError, match=r"role='.*' cannot be assumed by Lambda.*\n.*trust"):
        put(account, settings)
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_a_role_of_that_name_under_another_path_is_told(account: Account) -> None:
    account.client("iam").create_role(
        RoleName="made-by-an-administrator",
        AssumeRolePolicyDocument=json.dumps(policies.ASSUMED_BY_LAMBDA),
    )
    elsewhere = "does not exist; the role of that name is arn:aws:iam::123456789012:role/made-by"
    with pytest.raises(ProvisionError, match=elsewhere):
        put(account, replace(SETTINGS, role=THEIRS))


@pytest.mark.parametrize("setting", ["role", "permissions_boundary"])
def test_what_belongs_to_another_account_is_refused_before_anything_is_made(
    account: Account, setting: str
) -> None:
    kind = setting.removeprefix("permissions_").replace("boundary", "policy")
    # A str.
    settings = replace(SETTINGS, **{setting: f"arn:aws:iam::210987654321:{kind}/theirs"})  # type: ignore[arg-type]
    with pytest.raises(ProvisionError, match=f"{setting}=.* belongs to account 210987654321"):
        put(account, settings)
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_with_a_given_role_the_deployer_may_pass_it_and_make_none(account: Account) -> None:
    policy = policies.deployer(names_of(account, replace(SETTINGS, role=THEIRS)))
    granted = {
        (action, place)
        for one in policy["Statement"]
        for action in one["Action"]
        for place in one["Resource"]
        if action.startswith("iam:")
    }
    assert granted == {("iam:GetRole", THEIRS), ("iam:PassRole", THEIRS)}


@pytest.mark.parametrize(
    "wrong", [{"role": "my-role"}, {"permissions_boundary": "AdministratorAccess"}]
)
def test_what_is_no_arn_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="the ARN of a"):
        Settings.resolve(environ={}, **wrong)
