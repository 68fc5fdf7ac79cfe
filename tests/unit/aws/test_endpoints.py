"""All of the client's requests go to the same place: boto3's, libcurl's and obstore's."""

from __future__ import annotations

from pathlib import Path

import boto3
import certifi
import pytest

from dolambda.aws.account import Account
from dolambda.aws.invoke import Invoker
from dolambda.aws.objects import Bucket, explicit_config
from dolambda.aws.reactor import Reactor
from dolambda.aws.request_counter import RequestCounter
from dolambda.aws.small_objects import SmallObjects
from dolambda.errors import ConfigurationError

VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_LAMBDA",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_CA_BUNDLE",
)


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def an_account(region: str = "eu-west-1", url: str | None = None) -> Account:
    return Account(boto3.Session("AK", "SK", region_name=region), region, url)


def urls(account: Account) -> tuple[str, str]:
    reactor, calls = Reactor(account), RequestCounter()
    small = SmallObjects(reactor, account, "b", calls)
    invoker = Invoker(reactor, account, "f", calls)
    reactor.close()
    return small._root, invoker._url.removesuffix("/2015-03-31/functions/f/invocations")


@pytest.mark.parametrize(
    ("region", "variables", "s3", "function"),
    [
        (
            "eu-west-1",
            {},
            "https://b.s3.eu-west-1.amazonaws.com/",
            "https://lambda.eu-west-1.amazonaws.com",
        ),
        (
            "us-east-1",
            {},
            "https://b.s3.us-east-1.amazonaws.com/",
            "https://lambda.us-east-1.amazonaws.com",
        ),
        (
            "eu-west-1",
            {"AWS_ENDPOINT_URL": "http://10.0.0.1:4566"},
            "http://10.0.0.1:4566/b/",
            "http://10.0.0.1:4566",
        ),
        (
            "eu-west-1",
            {"AWS_ENDPOINT_URL_S3": "https://minio.example/"},
            "https://minio.example/b/",
            "https://lambda.eu-west-1.amazonaws.com",
        ),
        (
            "eu-west-1",
            {"AWS_ENDPOINT_URL_LAMBDA": "https://vpce.example"},
            "https://b.s3.eu-west-1.amazonaws.com/",
            "https://vpce.example",
        ),
        (
            "us-west-2",
            {"AWS_USE_FIPS_ENDPOINT": "true"},
            "https://s3-fips.us-west-2.amazonaws.com/b/",
            "https://lambda-fips.us-west-2.amazonaws.com",
        ),
        (
            "us-east-1",
            {"AWS_USE_FIPS_ENDPOINT": "true"},
            "https://s3-fips.us-east-1.amazonaws.com/b/",
            "https://lambda-fips.us-east-1.amazonaws.com",
        ),
        (
            "eu-west-1",
            {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
            "https://s3.dualstack.eu-west-1.amazonaws.com/b/",
            "https://lambda.eu-west-1.api.aws",
        ),
    ],
)
def test_jobs_go_where_boto3_goes(
    monkeypatch: pytest.MonkeyPatch, region: str, variables: dict[str, str], s3: str, function: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    account = an_account(region)
    assert urls(account) == (s3, function)
    endpoint = explicit_config(account).get("endpoint")
    assert endpoint == (s3.removesuffix("/b/") if s3.endswith("/b/") else None)


def test_an_endpoint_of_the_users_profile_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = https://localstack.example\n")
    assert urls(an_account()) == ("https://localstack.example/b/", "https://localstack.example")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert urls(an_account())[1] == "https://lambda.eu-west-1.amazonaws.com"


def test_the_endpoint_of_the_settings_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://elsewhere.example")
    assert urls(an_account(url="http://127.0.0.1:1")) == (
        "http://127.0.0.1:1/b/",
        "http://127.0.0.1:1",
    )


def test_certificates_come_from_the_variable_or_the_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert an_account().ca_bundle is None
    profiles, variables = tmp_path / "profile.pem", tmp_path / "variable.pem"
    for file in (profiles, variables):
        file.write_bytes(Path(certifi.where()).read_bytes())
    (tmp_path / "config").write_text(f"[default]\nca_bundle = {profiles}\n")
    assert an_account().ca_bundle == str(profiles)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(variables))
    assert an_account().ca_bundle == str(variables)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.pem", "No such file"),
        ("empty.pem", "no certificate"),
        ("text.pem", "no certificate"),
        (".", "directory"),
    ],
)
def test_certificates_that_cannot_be_used_are_blamed_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "empty.pem").touch()
    (tmp_path / "text.pem").write_text("no certificate")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / name))
    for uses in (
        lambda account: account.number,
        lambda account: Bucket.from_account(account, "b"),
        Reactor,
    ):
        with pytest.raises(ConfigurationError, match=f"(?is){why}.*Correct AWS_CA_BUNDLE"):
            uses(an_account())


@pytest.mark.parametrize(
    ("variables", "url", "endpoint"),
    [
        ({}, None, None),
        (
            {"AWS_USE_FIPS_ENDPOINT": "true"},
            None,
            "https://s3-fips.us-west-2.amazonaws.com",
        ),
        (
            {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
            None,
            "https://s3-fips.dualstack.us-west-2.amazonaws.com",
        ),
        ({"AWS_ENDPOINT_URL_S3": "https://bucket.vpce-1.s3.us-west-2.vpce.example"}, None, None),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, "http://127.0.0.1:4566", None),
    ],
)
def test_workers_are_told_of_endpoints_of_awss_own_only(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    url: str | None,
    endpoint: str | None,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert an_account("us-west-2", url).s3_for_workers == endpoint
