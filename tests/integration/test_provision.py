"""Deploying into the emulated AWS: twice changes nothing, destroy leaves nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda.errors import ProvisionError
from dolambda.local.stack import root
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.settings import Settings

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.local.instance import Instance
    from dolambda.provision.plan import Change

STACK = "second"


def everything(account: Account) -> set[str]:
    """Names of all that stands in the account, asked for through boto3."""
    found = {bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]}
    found |= {
        function["FunctionName"]
        for function in account.client("lambda").list_functions()["Functions"]
    }
    found |= {layer["LayerName"] for layer in account.client("lambda").list_layers()["Layers"]}
    found |= {role["RoleName"] for role in account.client("iam").list_roles()["Roles"]}
    return found | {
        group["logGroupName"] for group in account.client("logs").describe_log_groups()["logGroups"]
    }


def test_deploy_twice_changes_nothing_and_destroy_leaves_nothing(instance: Instance) -> None:
    settings, account = root(instance, Settings(stack=STACK, requires=("cloudpickle",)))
    before = everything(account)
    made: list[Change] = []
    assert deploy(resources(account, settings, here=True), made.append) == 7
    assert [re.sub(r"[\d-]*us-east-1|[0-9a-f]{12}$", "", change.what) for change in made] == [
        "bucket second",
        "log group /aws/lambda/second",
        "role second-worker",
        "layer second-requires-",
        "function second",
        "permission dolambda-jobs",
        "notification dolambda-second",
    ]
    assert deploy(resources(account, settings, here=True)) == 0
    longer = replace(settings, timeout=60)
    changed: list[Change] = []
    deploy(resources(account, longer, here=True), changed.append)
    assert [(change.action, change.what, change.why) for change in changed] == [
        ("update", "function second", "timeout 300 -> 60 s")
    ]
    assert destroy(resources(account, settings, here=True)) == 6
    assert everything(account) == before
    assert destroy(resources(account, settings, here=True)) == 0


def test_a_foreign_object_in_the_bucket_is_not_removed(instance: Instance) -> None:
    settings, account = root(instance, Settings(stack="third"))
    deploy(resources(account, settings, here=True))
    bucket, s3 = "third-000000000000-us-east-1", account.client("s3")
    s3.put_object(Bucket=bucket, Key="thesis.pdf", Body=b"mine")
    s3.put_object(Bucket=bucket, Key="blobs/ours", Body=b"ours")
    with pytest.raises(ProvisionError, match=r"thesis.pdf\n  Move or delete them"):
        destroy(resources(account, settings, here=True))
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [
        "thesis.pdf"
    ]
    s3.delete_object(Bucket=bucket, Key="thesis.pdf")
    assert [name for name in everything(account) if "third" in name] == [
        bucket
    ]  # everything else is gone
    s3.put_object(Bucket=bucket, Key="blobs/ours", Body=b"ours")
    destroy(resources(account, settings, here=True))
    assert bucket not in everything(account)


def test_other_notifications_of_the_bucket_are_kept_and_overlapping_ones_refused(
    instance: Instance,
) -> None:
    settings, account = root(instance, Settings(stack="fourth", bucket="of-the-users-own"))
    s3, awslambda = account.client("s3"), account.client("lambda")
    s3.create_bucket(Bucket="of-the-users-own")
    other = {
        "Id": "thumbnails",
        "LambdaFunctionArn": awslambda.get_function_configuration(FunctionName="dolambda")[
            "FunctionArn"
        ],
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "photos/"}]}},
    }
    s3.put_bucket_notification_configuration(
        Bucket="of-the-users-own",
        NotificationConfiguration={"LambdaFunctionConfigurations": [other]},
    )
    deploy(resources(account, settings, here=True))

    def ids() -> set[str]:
        found = s3.get_bucket_notification_configuration(Bucket="of-the-users-own")
        return {rule["Id"] for rule in found.get("LambdaFunctionConfigurations", [])}

    assert ids() == {"thumbnails", "dolambda-fourth"}
    overlapping = replace(settings, stack="fifth")
    before = everything(account)
    with pytest.raises(ProvisionError, match="already notifies"):
        deploy(resources(account, overlapping, here=True))
    assert everything(account) == before  # refused before anything was changed
    destroy(resources(account, settings, here=True))
    assert ids() == {"thumbnails"}
    assert "of-the-users-own" in everything(account)
    s3.delete_bucket(Bucket="of-the-users-own")


@pytest.fixture(autouse=True)
def _the_first_stack_stands(deployed: object) -> None:
    assert deployed
