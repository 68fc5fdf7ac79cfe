"""A denial says which kind of policy it came from, in each of AWS's answers."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from dolambda.aws.account import translated
from dolambda.aws.denials import denial_hint
from dolambda.errors import AccessDeniedError

WHO = "User: arn:aws:iam::777788889999:user/JohnDoe is not authorized to perform: "
ON = "lambda:CreateFunction on resource: arn:aws:lambda:us-east-2:777788889999:function:dolambda "
ALLOWS = "allows the lambda:CreateFunction action"
DENIES = "with an explicit deny in a"
SCP_ARN = "arn:aws:organizations::777788889999:policy/o-1/service_control_policy/p-1"

# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
REASONS = [
    (f"because no service control policy {ALLOWS}", "(SCP)"),
    (f"{DENIES} service control policy", "(SCP)"),
    (f"{DENIES} service control policy: {SCP_ARN}", "(SCP)"),
    (f"{DENIES} resource control policy", "(RCP)"),
    (f"because no permissions boundary {ALLOWS}", "permissions boundary of these credentials"),
    (f"{DENIES} permissions boundary", "permissions boundary of these credentials"),
    (f"because no session policy {ALLOWS}", "was limited when it began"),
    (f"{DENIES} session policy", "was limited when it began"),
    (f"because no VPC endpoint policy {ALLOWS}", "VPC endpoint"),
    (f"{DENIES} VPC endpoint policy", "VPC endpoint"),
    (f"{DENIES}n identity-based policy", "A policy of these credentials denies it explicitly"),
    (f"{DENIES} resource-based policy", "The resource's own policy"),
]
MISSING = [
    f"because no identity-based policy {ALLOWS}",
    f"because no resource-based policy {ALLOWS}",
]


def hint_of(said: str) -> str:
    answer = {"Error": {"Code": "AccessDeniedException", "Message": said}}
    with pytest.raises(AccessDeniedError) as caught, translated():
        raise ClientError(answer, "CreateFunction")
    message, _, hint = str(caught.value).partition("\n")
    assert said in message
    return hint


@pytest.mark.parametrize(("reason", "says"), REASONS)
def test_what_no_permission_helps_with_is_told_apart(reason: str, says: str) -> None:
    hint = hint_of(WHO + ON + reason)
    assert says in hint
    assert "no further permission changes this" in hint
    assert "lack that permission" not in hint


@pytest.mark.parametrize("reason", [*MISSING, ""])
def test_a_missing_permission_leads_to_the_printed_policy(reason: str) -> None:
    hint = hint_of(WHO + ON + reason)
    assert "lack that permission: `dolambda policy" in hint
    assert "no further permission" not in hint
    assert "dolambda template" not in hint


@pytest.mark.parametrize("action", ["iam:CreateRole", "iam:GetRole", "iam:PutRolePolicy"])
def test_who_may_not_make_roles_learns_of_the_settings_for_that(action: str) -> None:
    said = f"{WHO}{action} on resource: role dolambda-worker because no identity-based policy"
    hint = hint_of(f"{said} allows the {action} action")
    assert "dolambda policy" in hint
    for way in ("role=", "`dolambda template cloudformation`", "permissions_boundary="):
        assert way in hint


@pytest.mark.parametrize("action", ["kms:Decrypt", "kms:GenerateDataKey"])
@pytest.mark.parametrize("kind", ["identity-based", "resource-based"])
def test_a_key_that_may_not_be_used_leads_to_the_key_and_not_to_the_printed_policy(
    action: str, kind: str
) -> None:
    on = "on resource: arn:aws:kms:us-east-2:777788889999:key/1234"
    hint = hint_of(f"{WHO}{action} {on} because no {kind} policy allows the {action} action")
    assert "kms:Decrypt and kms:GenerateDataKey" in hint
    assert "lack that permission" not in hint
    scp = hint_of(f"{WHO}{action} {on} {DENIES} service control policy")
    assert "(SCP)" in scp


def test_a_resource_that_is_named_like_a_kind_of_policy_is_none() -> None:
    said = f"{WHO}s3:GetObject on resource: arn:aws:s3:::b/service control policy"
    assert denial_hint(said, "missing") == "missing"
