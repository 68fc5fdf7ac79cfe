"""A network with a proxy that opens TLS: boto3, libcurl and obstore all go through it and trust
it.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from dolambda.aws.account import Account
from dolambda.aws.invoke import Invoker
from dolambda.aws.objects import Bucket
from dolambda.aws.reactor import Reactor
from dolambda.aws.request_counter import RequestCounter
from dolambda.aws.small_objects import SmallObjects
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
