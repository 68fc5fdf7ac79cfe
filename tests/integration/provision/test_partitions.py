"""A stack in another partition of AWS."""

from __future__ import annotations

import pytest
from moto import mock_aws

from dolambda.aws.account import Account, Credentials
from dolambda.environment.layer import Contents
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.settings import Settings
from dolambda.stack import Stack
from support.strict_aws import Options, StrictAws, before

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_it_is_deployed_and_removed(region: str, endpoint: str | None) -> None:
    only = ["account_settings", "role_of_the_partition", "policies_kept_from_moto"]
    strict = StrictAws(Options(region=region, ignores_conditions=True), only=only)
    settings = Settings(stack="far", region=region, requires=())
    with mock_aws(config={"lambda": {"use_docker": False}}):
        account = before(Account.from_settings(settings, Credentials("AK", "SK")), strict)
        assert deploy(resources(account, settings, here=False, contents=Contents())) > 0
        assert deploy(resources(account, settings, here=False, contents=Contents())) == 0
        found = account.client("lambda").get_function_configuration(FunctionName="far")
        assert found["Environment"]["Variables"].get("AWS_ENDPOINT_URL_S3") == endpoint
        assert Stack.from_account(account, settings).region == region
        destroy(resources(account, settings, here=False, contents=Contents()))
        assert account.client("lambda").list_functions()["Functions"] == []
