"""A stack in another partition of AWS."""

from __future__ import annotations

from dataclasses import replace

import pytest
from moto import mock_aws

from dolambda.aws.account import Account, Credentials
from dolambda.aws.request_counter import RequestCounter
from dolambda.aws.signed_s3 import SignedS3
from dolambda.environment.layer import Contents
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.provision.panic import Panic
from dolambda.settings import Settings
from dolambda.stack import Stack
from support.strict_aws import Options, StrictAws, before

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class FipsAccount(Account):
    """One whose user has asked for FIPS endpoints, of which moto has none."""

    s3_for_workers = "https://s3-fips.us-west-2.amazonaws.com"


@pytest.mark.parametrize(
    ("kind", "region", "host"),
    [
        (Account, "cn-north-1", "far-bucket.s3.cn-north-1.amazonaws.com.cn"),
        (Account, "us-gov-west-1", "far-bucket.s3.us-gov-west-1.amazonaws.com"),
        (Account, "us-west-2", "far-bucket.s3.us-west-2.amazonaws.com"),
        (FipsAccount, "us-west-2", "s3-fips.us-west-2.amazonaws.com"),
    ],
)
def test_it_is_deployed_and_removed_and_its_workers_ask_their_own_s3(
    kind: type[Account], region: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if region.startswith("us-gov-"):
        # IAM's usual address, iam.us-gov.amazonaws.com, names no region: moto then makes the role
        # in the partition aws, and its Lambda looks for it in aws-us-gov.
        monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", f"https://iam.{region}.amazonaws.com")
    monkeypatch.setattr("dolambda.provision.plan._FIRST_PAUSE", 0.005)
    monkeypatch.setattr("dolambda.provision.plan._LONGEST_PAUSE", 0.05)
    strict = StrictAws(Options(region=region, ignores_conditions=True))
    settings = Settings(stack="far", region=region, requires=())
    with mock_aws(config={"lambda": {"use_docker": False}}):
        account = before(kind.from_settings(settings, Credentials("AK", "SK")), strict)
        assert deploy(resources(account, settings, here=False, contents=Contents())) > 0
        assert deploy(resources(account, settings, here=False, contents=Contents())) == 0
        found = account.client("lambda").get_function_configuration(FunctionName="far")
        environ = {"AWS_REGION": region, **found["Environment"]["Variables"]}
        assert SignedS3("far-bucket", environ, RequestCounter())._host == host
        assert Stack.from_account(account, settings).region == region
        moved = replace(settings, bucket="another-far-bucket")
        assert deploy(resources(account, moved, here=False, contents=Contents())) > 0
        Panic(account, "far").begin()
        assert Panic(account, "far").undo()
        destroy(resources(account, moved, here=False, contents=Contents()))
        assert account.client("lambda").list_functions()["Functions"] == []
