from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from dolambda.aws.account import Account, Credentials, ahead_of_here, translated
from dolambda.aws.models import _READ_ONCE
from dolambda.errors import AccessDeniedError, AwsError, ConfigurationError
from dolambda.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_models_that_one_account_has_read_are_not_read_again() -> None:
    def models_of(account: Account) -> int:
        account.client("sts")
        return _READ_ONCE.load_file.cache_info().misses

    own = Credentials("AK", "SK")
    emulated = ("http://127.0.0.1:1", "us-east-1", "AK", "SK")
    read = models_of(Account.emulated_at(*emulated))
    assert read > 0
    assert models_of(Account.emulated_at(*emulated)) == read
    first = models_of(Account.from_settings(Settings(region="us-east-1"), own))
    assert models_of(Account.from_settings(Settings(region="eu-west-1"), own)) == first


def test_models_are_plain_dictionaries_in_the_order_of_the_file() -> None:
    account = Account.emulated_at("http://127.0.0.1:1", "us-east-1", "AK", "SK")
    model = account.client("s3").meta.service_model
    assert type(model.metadata) is dict
    assert list(model.operation_model("GetObject").input_shape.members)[:2] == ["Bucket", "IfMatch"]


@pytest.mark.parametrize(
    ("code", "error", "hint"),
    [
        ("AccessDenied", AccessDeniedError, "dolambda policy submitter"),
        ("ExpiredToken", ConfigurationError, "log in again"),
        ("InvalidClientTokenId", ConfigurationError, "AWS does not know these credentials"),
        ("SomethingElse", AwsError, "AWS refused the request"),
    ],
)
def test_each_of_awss_errors_says_what_to_do(code: str, error: type[Exception], hint: str) -> None:
    with pytest.raises(error, match="the reason") as caught, translated():
        raise ClientError({"Error": {"Code": code, "Message": "the reason"}}, "GetRole")
    assert hint in str(caught.value)


def test_no_credentials_and_no_network_are_told_apart() -> None:
    with (
        pytest.raises(
            ConfigurationError,
            match=r"no AWS credentials were found\n  Run `aws configure`.*register\('local'\)",
        ),
        translated(),
    ):
        raise NoCredentialsError
    with pytest.raises(AwsError, match="Check the network"), translated():
        raise EndpointConnectionError(endpoint_url="https://nowhere")


def test_a_region_and_credentials_that_lack_are_both_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with pytest.raises(
        ConfigurationError, match="no AWS region is set, and there are no AWS credentials"
    ) as caught:
        Account.from_settings(Settings())
    assert "dolambda.register('local')" in str(caught.value)
    with pytest.raises(ConfigurationError, match="no AWS region is set\n"):
        Account.from_settings(Settings(), Credentials("AK", "SK"))


@pytest.mark.parametrize(
    ("stack", "variables", "hint"),
    [
        ("locl", {}, "  'locl' is taken for the name of a stack on AWS. Run `aws configure`"),
        ("dolambda", {}, "  Run `aws configure`"),
        ("dolambda", {"AWS_REGION": "eu-west-1"}, "  Run `aws configure`"),
    ],
)
def test_the_hint_without_a_region_names_the_likely_mistake(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stack: str,
    variables: dict[str, str],
    hint: str,
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        Account.from_settings(Settings(stack=stack))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(hint)
    assert ("boto3 does not read it" in lines[1]) == ("AWS_REGION" in variables)


def test_half_a_pair_of_keys_is_refused_and_none_is_shown() -> None:
    with pytest.raises(ConfigurationError, match="secret= was given without key="):
        Credentials(secret="hush")  # noqa: S106 - none
    assert "hush" not in repr(Credentials("k", "hush", "hush"))


@pytest.mark.parametrize(("shift", "ahead"), [(400, 400), (-300, -300), (1, 0), (-1, 0)])
def test_the_difference_of_the_clocks_is_known_from_an_answers_date(shift: int, ahead: int) -> None:
    date = formatdate(time.time() + shift, usegmt=True)
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}
    assert abs(ahead_of_here(answer) - ahead) < 1.5


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"ResponseMetadata": {"HTTPHeaders": {}}},
        {"ResponseMetadata": {"HTTPHeaders": {"date": "x"}}},
    ],
)
def test_an_answer_without_a_date_says_nothing_of_clocks(answer: dict[str, Any]) -> None:
    assert ahead_of_here(answer) == 0.0
