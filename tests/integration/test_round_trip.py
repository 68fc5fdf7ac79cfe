"""deploy ends with one task that works, or says why it does not; the stack stays."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda.aws.account import Account, Credentials
from dolambda.cli.round_trip import NotCheckedError, check_stack
from dolambda.errors import DolambdaError
from dolambda.local.stack import root
from dolambda.provision import policies
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.local.instance import Instance


@pytest.fixture
def deployed(instance: Instance) -> Iterator[tuple[Settings, Account]]:
    settings, account = root(instance, Settings(stack="checked", requires=(), timeout=30))
    deploy(resources(account, settings, here=True))
    yield settings, account
    destroy(resources(account, settings, here=True))


def keys(account: Account) -> Credentials:
    return Credentials(session=account.session)


def test_one_task_goes_through_the_queue(deployed: tuple[Settings, Account]) -> None:
    settings, account = deployed
    trips = check_stack(replace(settings, transport="direct"), keys(account))
    assert len(trips.seconds) == 1
    assert str(trips).startswith("one task in ")


def test_a_function_that_fails_is_told_with_lambdas_reason(
    deployed: tuple[Settings, Account],
) -> None:
    settings, account = deployed
    broken = io.BytesIO()
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("dolambda/__init__.py", "")
        archive.writestr("dolambda/handler.py", "import a_library_that_is_missing")
    client = account.client("lambda")
    client.update_function_code(FunctionName="checked", ZipFile=broken.getvalue())
    with pytest.raises(
        DolambdaError, match=r"'checked' is deployed.*\n?.*a_library_that_is_missing"
    ) as caught:
        check_stack(settings, keys(account))
    assert "--no-check" in str(caught.value)
    assert client.get_function_configuration(FunctionName="checked")["State"] == "Active"


def test_a_bucket_that_notifies_nobody_is_told_to_be_the_likely_cause(
    deployed: tuple[Settings, Account],
) -> None:
    settings, account = deployed
    account.client("s3").put_bucket_notification_configuration(
        Bucket=names_of(account, settings).bucket, NotificationConfiguration={}
    )
    with pytest.raises(DolambdaError, match=r"no reply within 3 s\n.*Check the trigger"):
        check_stack(settings, keys(account), seconds=3.0)


def test_who_may_deploy_and_not_submit_is_told_that_nothing_was_checked(
    deployed: tuple[Settings, Account],
) -> None:
    settings, account = deployed
    iam = account.client("iam")
    iam.create_user(UserName="deployer")
    policy = json.dumps(policies.deployer(names_of(account, settings)))
    iam.put_user_policy(UserName="deployer", PolicyName="it", PolicyDocument=policy)
    made = iam.create_access_key(UserName="deployer")["AccessKey"]
    deployer = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    with pytest.raises(NotCheckedError, match=r"deploy, not submit: s3:PutObject on s3://"):
        check_stack(settings, deployer)


def test_a_stack_for_another_environment_is_not_checked(
    deployed: tuple[Settings, Account],
) -> None:
    settings, account = deployed
    client = account.client("lambda")
    found = client.get_function_configuration(FunctionName="checked")["Environment"]["Variables"]
    variables = found | {"DOLAMBDA_CODE": "another:code"}
    client.update_function_configuration(
        FunctionName="checked", Environment={"Variables": variables}
    )
    with pytest.raises(NotCheckedError, match="differs from this environment: its worker code"):
        check_stack(settings, keys(account))
