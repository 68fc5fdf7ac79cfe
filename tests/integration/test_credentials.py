"""Credentials as they are in the wild: each gives a clear error or a session that works."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from dolambda.aws.account import Account, has_credentials
from dolambda.errors import AwsError, ConfigurationError, DolambdaError
from dolambda.settings import Settings
from support import programs
from support.http_server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
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
[profile text]
credential_process = {python} -c "print('Log in first.')"
[profile no_object]
credential_process = {python} -c "print(1)"
[profile quote]
credential_process = tool "unclosed
[profile no_tool]
credential_process = /nonexistent/tool
[profile expired_process]
credential_process = {python} -c "print('{{\\"Version\\": 1, \\"AccessKeyId\\": \\"AK\\", \\"SecretAccessKey\\": \\"SK\\", \\"SessionToken\\": \\"T\\", \\"Expiration\\": \\"2020-01-01T00:00:00Z\\"}}')"
[profile old_sso]
sso_start_url = https://company.awsapps.com/start
sso_region = eu-central-1
sso_account_id = 123456789012
sso_role_name = Scientist
[profile no_web_token]
role_arn = arn:aws:iam::123456789012:role/one
web_identity_token_file = /nonexistent/token
[profile odd_endpoint]
endpoint_url = example
aws_access_key_id = AK
aws_secret_access_key = SK
[profile odd_style]
s3 =
    addressing_style = odd
aws_access_key_id = AK
aws_secret_access_key = SK
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


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()


ZOO = [
    ("half", "Partial credentials found .*\n  Set both access key and secret key"),
    ("sso", r"(?s)SSO.*\n  Log in: `aws sso login`"),
    ("login", r"(?s)\n  Log in again: `aws login`"),
    ("broken_process", r"(?s)custom-process.*\n  Run the command of credential_process="),
    ("loop", r'"missing" .*\n  Correct that profile'),
    ("text", r"could not be loaded: .*\n  .*has to print credentials as JSON"),
    ("no_object", r"could not be loaded: .*\n  .*has to print credentials as JSON"),
    ("quote", r"could not be loaded: No closing quotation\n  Correct the profile"),
    ("no_tool", r"could not be loaded: .*: /nonexistent/tool\n  Correct the profile"),
    ("expired_process", r"could not be loaded: .*still expired.*\n  Correct the profile"),
    ("old_sso", r"(?s)SSO.*\n  Log in: `aws sso login`"),
    ("no_web_token", r"could not be loaded: .*: /nonexistent/token\n  Correct the profile"),
    ("odd_endpoint", r"Invalid endpoint: example\n  Correct that setting in ~/.aws/config"),
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
@pytest.mark.parametrize(("profile", "says"), ZOO)
def test_the_command_line_says_the_same(profile: str, says: str) -> None:
    assert re.search(says, typed("--profile", profile))


def typed(*arguments: str) -> str:
    """Return what `dolambda status` says of credentials that it cannot use."""
    region = () if "--region" in arguments else ("--region", "eu-central-1")
    done = programs.run("-m", "dolambda", "status", *arguments, *region)
    assert done.returncode == 1
    assert done.stderr.startswith("dolambda: ")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.usefixtures("home")
def test_a_style_of_addresses_that_does_not_exist_is_a_setting_to_correct() -> None:
    account = Account.from_settings(Settings(profile="odd_style", region="eu-central-1"))
    with pytest.raises(ConfigurationError, match=r"style odd is invalid.*\n  Correct that setting"):
        account.client("s3")


REFUSED = [
    ("ExpiredToken", "The security token included in the request is expired", "log in again"),
    ("RequestExpired", "Request has expired.", "log in again"),
    (
        "InvalidClientTokenId",
        "The security token included in the request is invalid",
        "region is one that is not enabled in this account",
    ),
    ("SignatureDoesNotMatch", "The request signature ...", "check key=, secret= and token="),
]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("code", "message", "says"), REFUSED)
def test_credentials_that_aws_refuses_say_why(
    code: str, message: str, says: str, server: Server
) -> None:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = f"<ErrorResponse>{error}</ErrorResponse>".encode()
    server.answers = [(403, {"x-amzn-ErrorType": code}, body)]
    settings = Settings(profile="process", region="eu-central-1", endpoint_url=server.url)
    with pytest.raises(ConfigurationError, match=f"(?s){code}.*{says}"):
        _ = Account.from_settings(settings).number
    server.answers = [(403, {"x-amzn-ErrorType": code}, b"{}")]
    said = typed("--profile", "process", "--endpoint-url", server.url)
    assert code in said
    assert re.search("log in again|AWS does not know these credentials", said)


@pytest.mark.usefixtures("home")
def test_the_command_line_says_what_is_wrong_with_a_region_or_a_file(home: Path) -> None:
    assert "--region" in typed("--profile", "process", "--region", "eu central 1")
    (home / "config").write_text("region = eu-central-1\n[unclosed\n")
    assert "Correct that file" in typed()


@pytest.mark.usefixtures("home")
def test_the_command_line_uses_credentials_of_a_process(server: Server) -> None:
    server.answers = [(404, {"x-amzn-ErrorType": "ResourceNotFoundException"}, b"{}")]
    typed("--profile", "process", "--endpoint-url", server.url)
    assert "Credential=AK/" in server.seen[0][1]["Authorization"]


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
