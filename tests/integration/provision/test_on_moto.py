"""The same provisioning against moto, which rejects what the emulator accepts: a missing role, a
function that is not there.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dolambda.aws.account import Account, Credentials
from dolambda.errors import ProvisionError
from dolambda.provision.bucket import tls_only
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.settings import Settings
from dolambda.stack import Stack

# moto itself uses what botocore will deprecate, and Python's utcnow.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


SETTINGS = Settings(stack="second", region="eu-central-1", requires=("cloudpickle",), memory=512)


def test_deploy_twice_and_destroy(account: Account) -> None:
    assert deploy(resources(account, SETTINGS, here=False)) == 7
    assert deploy(resources(account, SETTINGS, here=False)) == 0
    stack = Stack.from_account(account, SETTINGS)
    assert (stack.bucket, stack.memory, len(stack.requires)) == (
        "second-123456789012-eu-central-1",
        512,
        1,
    )
    location = account.client("s3").get_bucket_location(Bucket=stack.bucket)["LocationConstraint"]
    assert location == "eu-central-1"
    permission = account.client("lambda").get_policy(FunctionName="second")["Policy"]
    assert "arn:aws:s3:::second-123456789012-eu-central-1" in permission
    assert "123456789012" in permission
    assert (
        deploy(resources(account, replace(SETTINGS, concurrency=5, log_days=30), here=False)) == 3
    )
    destroy(resources(account, replace(SETTINGS, requires=()), here=False))
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert account.client("lambda").list_functions()["Functions"] == []
    assert account.client("iam").list_roles()["Roles"] == []
    assert account.client("logs").describe_log_groups()["logGroups"] == []
    assert account.client("lambda").list_layers()["Layers"] == []


def test_the_bucket_denies_requests_without_tls_and_keeps_what_others_put_into_its_policy(
    account: Account,
) -> None:
    s3, bucket = account.client("s3"), "second-123456789012-eu-central-1"
    deploy(resources(account, SETTINGS, here=False))
    (ours,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert ours == tls_only(f"arn:aws:s3:::{bucket}")
    theirs = {
        "Sid": "theirs",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObjectAcl",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [theirs]})
    )
    assert deploy(resources(account, SETTINGS, here=False)) == 1
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"] == [theirs, ours]
    assert deploy(resources(account, SETTINGS, here=False)) == 0


def test_without_the_role_lambda_refuses_and_waiting_for_it_has_an_end(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.provision.function._PATIENCE", 1)
    parts = resources(account, SETTINGS, here=False)
    without_role = [part for part in parts if type(part).__name__ != "Role"]
    with pytest.raises(
        ProvisionError,
        match=r"may assume the role second-worker-eu-central-1 did not come true within 1 s\n  "
        r"Repeat the command",
    ):
        deploy(without_role)


def test_a_bucket_of_another_region_is_refused(account: Account) -> None:
    elsewhere = Account.from_settings(Settings(region="eu-west-1"), Credentials("AK", "SK")).client(
        "s3"
    )
    elsewhere.create_bucket(
        Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    with pytest.raises(ProvisionError, match="is in eu-west-1, the function in eu-central-1"):
        deploy(resources(account, replace(SETTINGS, bucket="elsewhere"), here=False))
