"""Deploy X, then Y, then destroy, for any X and Y: valid requests, and nothing is left."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from moto import mock_aws

import dolambda.provision.plan
from dolambda.aws.account import Account, Credentials
from dolambda.environment.layer import Archive, Contents
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.settings import Settings
from support.strict_aws import Options, StrictAws, before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolambda.provision.plan import Change

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
OWN = "my-own-bucket"
PACKAGES = ("numpy", "pandas", "scipy", "rest", "joblib", "matplotlib")


def archive(name: str) -> Archive:
    content = random.Random(name).randbytes(100)  # noqa: S311 - the same each time
    return Archive([name], {f"{name}.py": content}, 100, compress=False)


CONTENTS = st.builds(
    lambda layers, bundle: Contents(
        layers=tuple(map(archive, layers)), bundle=archive(bundle) if bundle else None
    ),
    st.lists(st.sampled_from(PACKAGES), unique=True, max_size=5),
    st.sampled_from([None, "torch", "tensorflow"]),
)
# Not storage: moto does not update it.
SETTINGS = st.fixed_dictionaries(
    {
        "bucket": st.sampled_from([None, OWN]),
        "memory": st.sampled_from([128, 1769]),
        "timeout": st.sampled_from([3, 900]),
        "concurrency": st.sampled_from([None, 1, 900]),
        "workers": st.sampled_from([None, 7]),
        "log_days": st.sampled_from([1, 14]),
        "runtime": st.sampled_from([None, "provided.al2023"]),
        "permissions_boundary": st.sampled_from([None, "arn:aws:iam::123456789012:policy/b"]),
    }
)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for little."""
    monkeypatch.setattr(dolambda.provision.plan, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(dolambda.provision.plan, "_LONGEST_PAUSE", 0.01)


@settings(
    max_examples=8,
    phases=[
        Phase.explicit,
        Phase.generate,
    ],  # a failing example is small enough, and shrinking slow
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(st.tuples(SETTINGS, CONTENTS), min_size=2, max_size=2))
def test_any_stack_becomes_any_other_and_goes(
    steps: Sequence[tuple[dict[str, Any], Contents]],
) -> None:
    strict = StrictAws(Options(ignores_conditions=True))
    with mock_aws(config={"lambda": {"use_docker": False}}):
        account = before(
            Account.from_settings(Settings(region="eu-central-1"), Credentials("AK", "SK")), strict
        )
        account.client("s3").create_bucket(
            Bucket=OWN, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        for chosen, contents in steps:
            wanted = Settings(stack="any", region="eu-central-1", requires=(), **chosen)
            deploy(resources(account, wanted, here=False, contents=contents))
            again: list[Change] = []
            deploy(resources(account, wanted, here=False, contents=contents), again.append)
            assert again == []
        for never in (
            "two_versions_of_a_layer",
            "five_layers",
            "environment_size",
            "foreign_owner",
        ):
            assert strict.counts[never] == 0
        for never in ("unreserved_minimum", "overlapping_notifications", "role_with_policies"):
            assert strict.counts[never] == 0
        destroy(resources(account, wanted, here=False, contents=Contents()))
        assert left(account) == {OWN}
        found = account.client("s3").get_bucket_notification_configuration(Bucket=OWN)
        assert "LambdaFunctionConfigurations" not in found


def left(account: Account) -> set[str]:
    """Return the names of all that is in the account."""
    awslambda = account.client("lambda")
    return {
        *(one["Name"] for one in account.client("s3").list_buckets()["Buckets"]),
        *(one["FunctionName"] for one in awslambda.list_functions()["Functions"]),
        *(one["LayerName"] for one in awslambda.list_layers()["Layers"]),
        *(one["RoleName"] for one in account.client("iam").list_roles()["Roles"]),
        *(one["logGroupName"] for one in account.client("logs").describe_log_groups()["logGroups"]),
    }
