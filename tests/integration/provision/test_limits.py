"""The account's limits: how wide a stack is, and what it may reserve."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda.environment.layer import Contents
from dolambda.errors import DolambdaError, ProvisionError
from dolambda.provision.deploy import deploy, resources
from dolambda.settings import Settings
from dolambda.stack import Stack

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from support.strict_aws import StrictAws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SETTINGS = Settings(stack="wide", region="eu-central-1", requires=())


def put(account: Account, settings: Settings = SETTINGS) -> int:
    return deploy(resources(account, settings, here=False, contents=Contents()))


@pytest.mark.parametrize(
    ("limit", "elsewhere", "asked", "width"),
    [
        (10, 0, {}, 10),
        (1000, 0, {}, 100),
        (1000, 930, {}, 70),
        (10, 10, {}, 1),
        (10, 0, {"workers": 50}, 50),
        (1000, 0, {"concurrency": 5}, 5),
        (1000, 0, {"concurrency": 5, "workers": 3}, 3),
    ],
)
def test_a_stack_is_as_wide_as_asked_for_or_as_the_account_allows(
    account: Account,
    strict: StrictAws,
    limit: int,
    elsewhere: int,
    asked: dict[str, int],
    width: int,
) -> None:
    strict.options.concurrent_executions = limit
    strict.options.reserved_elsewhere = elsewhere
    settings = replace(SETTINGS, **asked)  # type: ignore[arg-type]
    put(account, settings)
    assert Stack.from_account(account, SETTINGS).workers == width
    assert put(account, settings) == 0


@pytest.mark.parametrize(
    ("limit", "elsewhere", "wanted", "at_most"),
    [(10, 0, 1, None), (50, 0, 5, None), (1000, 0, 901, 900), (1000, 800, 200, 100)],
)
def test_a_reservation_that_lambda_would_refuse_is_refused_before_anything_is_changed(
    account: Account,
    strict: StrictAws,
    limit: int,
    elsewhere: int,
    wanted: int,
    at_most: int | None,
) -> None:
    strict.options.concurrent_executions = limit
    strict.options.reserved_elsewhere = elsewhere
    hint = f"at most {at_most}" if at_most else "Leave concurrency= out"
    with pytest.raises(
        ProvisionError, match=f"concurrency={wanted} cannot be reserved.*\n.*{hint}"
    ):
        put(account, replace(SETTINGS, concurrency=wanted))
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert account.client("iam").list_roles()["Roles"] == []
    if at_most:
        put(account, replace(SETTINGS, concurrency=at_most))
        assert Stack.from_account(account, SETTINGS).reserved == at_most
    assert strict.counts["unreserved_minimum"] == 0


def test_the_reservation_comes_last(account: Account, strict: StrictAws) -> None:
    put(account, replace(SETTINGS, concurrency=5))
    writes = [
        one.operation
        for one in strict.requests
        if one.operation.startswith(("Put", "Add", "Create"))
    ]
    assert writes[-1] == "PutFunctionConcurrency"
    assert put(account) == 2  # the reservation goes, the stack is wider
    assert Stack.from_account(account, SETTINGS).reserved is None


def test_credentials_that_may_not_ask_for_the_limits_deploy_all_the_same(
    account: Account, strict: StrictAws
) -> None:
    strict.options.denied = frozenset({"lambda:GetAccountSettings"})
    put(account)
    assert Stack.from_account(account, SETTINGS).workers == 100


def test_the_doctor_compares_the_stacks_width_with_what_the_account_runs(
    account: Account, strict: StrictAws
) -> None:
    doctor = importlib.import_module("dolambda.cli.doctor")  # the package has a function so named
    strict.options.concurrent_executions = 10
    put(account)
    assert doctor._quota(account, SETTINGS).startswith("10 of 10 concurrent executions are usable")
    put(account, replace(SETTINGS, workers=50))
    with pytest.raises(DolambdaError, match=r"50 workers.*at most 10 .*\n.*--workers"):
        doctor._quota(account, SETTINGS)
    strict.options.concurrent_executions = 1000
    assert "1,000 of 1,000" in doctor._quota(account, SETTINGS)
