"""A network with a proxy that opens TLS: boto3, libcurl and obstore all go through it and trust
it.
"""

from __future__ import annotations

import ssl
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from dolambda.aws.account import Account
from dolambda.aws.invoke import Invoker
from dolambda.aws.objects import Bucket
from dolambda.aws.reactor import Reactor
from dolambda.aws.request_counter import RequestCounter
from dolambda.aws.signed_s3 import SignedS3
from dolambda.aws.small_objects import SmallObjects
from dolambda.errors import AwsError, ConfigurationError
from support.tls import Authority, Relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.http_server import Server

pytestmark = pytest.mark.needs("openssl")
S3, LAMBDA = "s3.eu-west-1.amazonaws.com", "lambda.eu-west-1.amazonaws.com"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made_in(tmp_path_factory.mktemp("ca"), S3, f"*.{S3}", LAMBDA, "127.0.0.1")


@pytest.fixture
def proxy(
    authority: Authority, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Relay]:
    relay = Relay(authority, server.http.server_address[1], proxy=True)
    for name in ("HTTP_PROXY", "NO_PROXY", "ALL_PROXY", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{relay.port}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    yield relay
    relay.close()


@pytest.mark.parametrize("where", ["variable", "profile"])
def test_all_ask_the_proxy_and_trust_its_authority(
    proxy: Relay,
    server: Server,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    where: str,
) -> None:
    if where == "variable":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.certificate))
    else:
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {authority.certificate}\n")
    account = Account(boto3.Session("AK", "SK", region_name="eu-west-1"), "eu-west-1", None)
    account.client("s3").head_bucket(Bucket="boto3")
    assert proxy.asked == [f"boto3.{S3}:443"]
    Bucket.from_account(account, "obstore").put("k", b"x")
    assert proxy.asked[1:] == [f"{S3}:443"]
    reactor, calls = Reactor(account), RequestCounter()
    done: Future[Any] = Future()
    SmallObjects(reactor, account, "curl", calls).put("k", b"x", done.set_result)
    assert done.result(20) is None
    answered: Future[Any] = Future()
    Invoker(reactor, account, "f", calls).send(b"{}", answered.set_result)
    assert answered.result(20) == b"{}"
    reactor.close()
    assert proxy.asked[2:] == [f"curl.{S3}:443", f"{LAMBDA}:443"]
    assert len(server.seen) == 4


TRUSTED_NAME = "AWS_CA_BUNDLE, or ca_bundle in"


def test_without_its_authority_no_client_sends_and_each_says_what_to_set(
    authority: Authority, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.setattr("dolambda.aws.reactor.UNTRUSTED_S", 0.3)
    relay = Relay(authority, server.http.server_address[1])
    url = f"https://127.0.0.1:{relay.port}"
    account = Account(boto3.Session("AK", "SK", region_name="eu-west-1"), "eu-west-1", url)
    with pytest.raises(ConfigurationError, match=TRUSTED_NAME):
        _ = account.number
    with pytest.raises(AwsError, match=TRUSTED_NAME):
        Bucket.from_account(account, "b").put("k", b"x")
    reactor, calls = Reactor(account), RequestCounter()
    put: Future[Any] = Future()
    SmallObjects(reactor, account, "b", calls).put("k", b"x", put.set_result)
    called: Future[Any] = Future()
    Invoker(reactor, account, "f", calls).send(b"{}", called.set_result)
    for done in (put, called):
        failure = done.result(20)
        # Not "the outcome is unknown": nothing was sent.
        assert type(failure) is AwsError
        assert TRUSTED_NAME in str(failure)
    reactor.close()
    relay.close()
    assert not server.seen


def test_a_worker_trusts_the_authority_that_boto3_trusts_in_its_tasks(
    authority: Authority, server: Server
) -> None:
    relay = Relay(authority, server.http.server_address[1])
    environ = {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "SK",
        "DOLAMBDA_S3_ENDPOINT": f"https://127.0.0.1:{relay.port}",
    }
    refused = SignedS3("b", environ, RequestCounter())
    refused.begin_invocation(0)
    with pytest.raises(ssl.SSLCertVerificationError):
        refused.put_new("k", b"x")
    refused.close()
    named = environ | {"AWS_CA_BUNDLE": str(authority.certificate)}
    trusting = SignedS3("b", named, RequestCounter())
    assert trusting.put_new("k", b"x")
    trusting.close()
    relay.close()
    assert len(server.seen) == 1


def test_the_page_of_another_server_is_not_taken_for_awss_answer(server: Server) -> None:
    """A network that asks for a login answers every request with a page of its own."""
    server.answers = [(200, {}, b"<html>Log in<br></html>")]
    url = f"http://127.0.0.1:{server.http.server_address[1]}"
    account = Account(boto3.Session("AK", "SK", region_name="eu-west-1"), "eu-west-1", url)
    with pytest.raises(AwsError, match=r"(?s)another server replied in AWS's place.*login"):
        _ = account.number
