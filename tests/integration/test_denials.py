"""Who is denied something learns from the command line whose policy it was, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dolambda.settings import Settings
from support import programs
from support.strict_aws.instance import StrictInstance, environment_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOWED = {"Effect": "Allow", "Action": ["*"], "Resource": ["*"]}
MISSING = "because no identity-based policy allows the {action} action"
SCP = "with an explicit deny in a service control policy"
BOUNDARY = "because no permissions boundary allows the {action} action"


@pytest.fixture(scope="module")
def strict_instance() -> Iterator[StrictInstance]:
    started = StrictInstance.with_rule("denied_actions")
    yield started
    started.instance.stop()


@pytest.fixture
def environment(strict_instance: StrictInstance) -> dict[str, str]:
    """Someone who has every permission in this account."""
    settings, _ = strict_instance.admin(Settings(stack="denied"))
    policy = {"Version": "2012-10-17", "Statement": [ALLOWED]}
    keys = strict_instance.user("denied", policy, settings)
    return {**environment_of(settings, keys), "DOLAMBDA_REQUIRES": ""}


@pytest.mark.parametrize(
    "action", ["iam:GetRole", "logs:DescribeLogGroups", "lambda:GetFunctionConfiguration"]
)
@pytest.mark.parametrize(
    ("reason", "says", "not_says"),
    [
        (MISSING, "dolambda policy", "no further permission"),
        (SCP, "(SCP)", "lack that permission"),
        (BOUNDARY, "permissions boundary of these credentials", "lack that permission"),
    ],
)
def test_deploy_says_whose_policy_it_was(
    strict_instance: StrictInstance,
    environment: dict[str, str],
    action: str,
    reason: str,
    says: str,
    not_says: str,
) -> None:
    strict_instance.set(denied=[action], denied_by=reason)
    done = programs.run("-m", "dolambda", "deploy", env=environment)
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "Traceback" not in told
    assert reason.format(action=action) in told
    assert says in told
    assert not_says not in told
