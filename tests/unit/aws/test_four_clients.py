"""boto3, libcurl, obstore and a worker go to the same places, in the same way.

Each of them sends a request to AWS's own names. A proxy that opens TLS leads it to a server here,
and keeps the name that was asked for.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from dolambda.aws.account import Account
from dolambda.aws.invoke import Invoker
from dolambda.aws.objects import Bucket
from dolambda.aws.proxies import authorization, proxy_of
from dolambda.aws.reactor import Reactor
from dolambda.aws.request_counter import RequestCounter
from dolambda.aws.signed_s3 import SignedS3
from dolambda.aws.small_objects import SmallObjects
from support.tls import Authority, Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.http_server import Server

pytestmark = pytest.mark.needs("openssl")

FIPS, DUALSTACK = {"AWS_USE_FIPS_ENDPOINT": "true"}, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}
PLACES: list[tuple[str, dict[str, str], str, str]] = [
    ("eu-west-1", {}, "s3.eu-west-1.amazonaws.com", "lambda.eu-west-1.amazonaws.com"),
    ("us-east-1", {}, "s3.us-east-1.amazonaws.com", "lambda.us-east-1.amazonaws.com"),
    ("cn-north-1", {}, "s3.cn-north-1.amazonaws.com.cn", "lambda.cn-north-1.amazonaws.com.cn"),
    ("us-gov-west-1", {}, "s3.us-gov-west-1.amazonaws.com", "lambda.us-gov-west-1.amazonaws.com"),
    ("eusc-de-east-1", {}, "s3.eusc-de-east-1.amazonaws.eu", "lambda.eusc-de-east-1.amazonaws.eu"),
    ("us-east-1", FIPS, "s3-fips.us-east-1.amazonaws.com", "lambda-fips.us-east-1.amazonaws.com"),
    (
        "us-gov-east-1",
        FIPS,
        "s3-fips.us-gov-east-1.amazonaws.com",
        "lambda-fips.us-gov-east-1.amazonaws.com",
    ),
    ("eu-west-1", DUALSTACK, "s3.dualstack.eu-west-1.amazonaws.com", "lambda.eu-west-1.api.aws"),
    (
        "us-west-2",
        FIPS | DUALSTACK,
        "s3-fips.dualstack.us-west-2.amazonaws.com",
        "lambda-fips.us-west-2.api.aws",
    ),
]
"""Region, variables, and AWS's names: "Service endpoints" in the AWS General Reference."""

GLOBAL = {"s3.us-east-1.amazonaws.com": "s3.amazonaws.com"}
"""Another name of the same servers, which boto3 uses."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    names = {name for place in PLACES for name in (place[2], f"*.{place[2]}", place[3])}
    names |= {f"*.{name}" for name in GLOBAL.values()} | set(GLOBAL.values())
    return Authority.made_in(tmp_path_factory.mktemp("ca"), *sorted(names), "127.0.0.1")


@pytest.fixture
def proxy(
    authority: Authority, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Relay]:
    """A proxy and the configuration of someone who has to use it."""
    relay = Relay(authority, server.http.server_address[1], proxy=True)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("AWS_ENDPOINT_URL", *FIPS, *DUALSTACK):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{relay.port}")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.certificate))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    yield relay
    relay.close()


def by_boto3(account: Account, _environ: dict[str, str]) -> None:
    account.client("s3").head_bucket(Bucket="bucket")


def by_obstore(account: Account, _environ: dict[str, str]) -> None:
    Bucket.from_account(account, "bucket").put("k", b"x")


def by_libcurl(account: Account, _environ: dict[str, str]) -> None:
    reactor, done = Reactor(account), Future[Any]()
    SmallObjects(reactor, account, "bucket", RequestCounter()).put("k", b"x", done.set_result)
    assert done.result(20) is None
    reactor.close()


def by_a_worker(account: Account, environ: dict[str, str]) -> None:
    """Send as a worker, with the variables that `dolambda deploy` sets."""
    place = account.s3_for_workers
    deployed = {"DOLAMBDA_S3_ENDPOINT": place} if place else {}
    s3 = SignedS3("bucket", environ | deployed, RequestCounter())
    s3.begin_invocation(10)
    assert s3.put_new("k", b"x")
    s3.close()


WAYS = [by_boto3, by_obstore, by_libcurl, by_a_worker]


def account_in(region: str) -> Account:
    return Account(boto3.Session("AK", "SK", region_name=region), region, None)


def in_lambda(region: str, **variables: str) -> dict[str, str]:
    """Return the variables of a worker: Lambda's own, and those that someone added."""
    own = {"AWS_REGION": region, "AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}
    return own | variables


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize("send", WAYS)
@pytest.mark.parametrize(("region", "variables", "s3", "_function"), PLACES)
def test_all_ask_the_same_s3_through_the_proxy_and_trust_its_authority(
    proxy: Relay,
    authority: Authority,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    region: str,
    variables: dict[str, str],
    s3: str,
    _function: str,
    send: Callable[[Account, dict[str, str]], None],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    network = {
        "HTTPS_PROXY": f"http://me:p%40ss@127.0.0.1:{proxy.port}",
        "AWS_CA_BUNDLE": str(authority.certificate),
    }
    send(account_in(region), in_lambda(region, **network))
    (asked,) = proxy.asked
    name = asked.removesuffix(":443").removeprefix("bucket.")
    assert name in (s3, GLOBAL.get(s3))
    ((_, headers, _),) = server.seen
    assert f"/{region}/s3/aws4_request" in lowered(headers)["authorization"]


@pytest.mark.parametrize(("region", "variables", "_s3", "function"), PLACES)
def test_calls_of_the_function_go_where_boto3_asks_about_it(
    proxy: Relay,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    region: str,
    variables: dict[str, str],
    _s3: str,
    function: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    account = account_in(region)
    account.client("lambda").get_function_configuration(FunctionName="f")
    reactor, done = Reactor(account), Future[Any]()
    Invoker(reactor, account, "f", RequestCounter()).send(b"{}", done.set_result)
    assert done.result(20) == b"{}"
    reactor.close()
    assert proxy.asked == [f"{function}:443"] * 2
    assert f"/{region}/lambda/aws4_request" in server.seen[1][1]["Authorization"]


@pytest.mark.parametrize("excluded", [True, False])
@pytest.mark.parametrize("send", WAYS)
def test_all_go_past_the_proxy_to_what_no_proxy_names(
    proxy: Relay,
    authority: Authority,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    send: Callable[[Account, dict[str, str]], None],
    *,
    excluded: bool,
) -> None:
    direct = Relay(authority, server.http.server_address[1])
    variables = {
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{direct.port}",
        "NO_PROXY": "example.org,127.0.0.1" if excluded else "example.org",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    network = {
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
        "AWS_CA_BUNDLE": str(authority.certificate),
    }
    send(account_in("eu-west-1"), in_lambda("eu-west-1", **network, **variables))
    assert proxy.asked == ([] if excluded else [f"127.0.0.1:{direct.port}"])
    assert direct.connections == (1 if excluded else 0)
    direct.close()


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://me:p%40ss@proxy:3128", {"Proxy-Authorization": "Basic bWU6cEBzcw=="}),
        ("http://me@proxy", {"Proxy-Authorization": "Basic bWU6"}),
        ("proxy:3128", {}),
    ],
)
def test_a_worker_sends_the_proxys_user_and_password(url: str, header: dict[str, str]) -> None:
    proxy = proxy_of({"https_proxy": url}, "s3.eu-west-1.amazonaws.com")
    assert proxy
    assert proxy.hostname == "proxy"
    assert authorization(proxy) == header


@pytest.mark.parametrize("send", [by_obstore, by_libcurl, by_a_worker])
def test_what_is_written_has_the_checksum_that_object_lock_demands(
    proxy: Relay, authority: Authority, server: Server, send: Any
) -> None:
    network = {
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
        "AWS_CA_BUNDLE": str(authority.certificate),
    }
    send(account_in("eu-west-1"), in_lambda("eu-west-1", **network))
    ((_, headers, body),) = server.seen
    assert body == b"x"
    given = lowered(headers)
    known = {
        "x-amz-checksum-crc32": "jNwWgw==",
        "x-amz-checksum-sha256": "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=",
    }
    found = {name: value for name, value in given.items() if name.startswith("x-amz-checksum-")}
    assert found
    assert found.items() <= known.items()
    assert all(name in given["authorization"] for name in found)
