"""Credentials as they are in the wild: each gives a clear error or a session that works."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from dolambda.aws.account import Account, has_credentials
from dolambda.errors import AwsError, ConfigurationError, DolambdaError
from dolambda.settings import Settings
from support import programs

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
[profile half]
aws_access_key_id = AKIAEXAMPLE
[profile sso]
sso_session = company
sso_account_id = 123456789012
sso_role_name = Scientist
[sso-session company]
sso_start_url = https://company.awsapps.com/start
sso_region = eu-central-1
[profile login]
login_session = arn:aws:iam::123456789012:user/someone
[profile process]
credential_process = {python} -c "print('{{\\"Version\\": 1, \\"AccessKeyId\\": \\"AK\\", \\"SecretAccessKey\\": \\"SK\\"}}')"
[profile broken_process]
credential_process = {python} -c "raise SystemExit(3)"
[profile loop]
role_arn = arn:aws:iam::123456789012:role/one
source_profile = missing
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with ~/.aws/config, and nothing else that boto3 could find."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "config"
    config.write_text(CONFIG.format(python=sys.executable))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


ZOO = [
    ("half", "Partial credentials found .*\n  Set both access key and secret key"),
    ("sso", r"(?s)SSO.*\n  Log in: `aws sso login`"),
    ("login", r"(?s)\n  Log in again: `aws login`"),
    ("broken_process", r"(?s)custom-process.*\n  Run the command of credential_process="),
    ("loop", r'"missing" .*\n  Correct that profile'),
    ("absent", r"\(absent\) could not be found\n  `aws configure list-profiles`"),
]


def ask(profile: str, region: str = "eu-central-1") -> str:
    return Account.from_settings(Settings(profile=profile, region=region)).number


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("profile", "says"), ZOO)
def test_credentials_that_cannot_be_used_are_an_error_that_says_what_to_do(
    profile: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        ask(profile)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("profile", [name for name, _ in ZOO])
def test_the_command_line_shows_no_traceback(profile: str) -> None:
    done = programs.run(
        "-m", "dolambda", "status", "--profile", profile, "--region", "eu-central-1"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("dolambda: ")
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("home")
def test_half_credentials_are_found_out_before_a_session_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    with pytest.raises(ConfigurationError, match="Partial credentials"):
        has_credentials()


@pytest.mark.usefixtures("home")
def test_credentials_from_a_process_are_used() -> None:
    account = Account.from_settings(Settings(profile="process", region="eu-central-1"))
    assert account.session.get_credentials().access_key == "AK"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("region", ["eu central 1", "eu_central_1", "Frankfurt!"])
def test_a_region_that_cannot_be_one_is_refused(region: str) -> None:
    with pytest.raises(ConfigurationError, match=r"region.*\n  Set region= \(--region\)"):
        ask("process", region)


@pytest.mark.usefixtures("home")
def test_a_mistyped_region_is_named_with_its_neighbours() -> None:
    with pytest.raises(AwsError, match=r"(?s)eu-centrl-1.*Similar ones are .*eu-central-1"):
        ask("process", "eu-centrl-1")


def test_a_malformed_file_is_named(home: Path) -> None:
    (home / "config").write_text("region = eu-central-1\n[unclosed\n")
    with pytest.raises(DolambdaError, match=r"Unable to parse config file.*\n  Correct that file"):
        ask("process")
