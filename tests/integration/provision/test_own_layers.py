"""Layers that the user has made: what can be known of them is known before anything is made."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda.environment.layer import MB, Archive, Contents
from dolambda.errors import ProvisionError
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.settings import Settings

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from support.strict_aws import StrictAws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SETTINGS = Settings(stack="layered", region="eu-central-1", requires=())


def published(account: Account, megabytes: int) -> str:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("lib/large.so", os.urandom(megabytes << 20))
    return str(
        account.client("lambda").publish_layer_version(
            LayerName="mine", Content={"ZipFile": file.getvalue()}
        )["LayerVersionArn"]
    )


def put(account: Account, arn: str, megabytes: int) -> int:
    """Deploy with a layer of one's own, and packages that are said to be so large."""
    packages = Archive(["p"], {"python/p.py": b"p = 1"}, megabytes * MB, compress=False)
    settings = replace(SETTINGS, layers=(arn,))
    contents = Contents(layers=(packages,))
    return deploy(resources(account, settings, here=False, contents=contents))


def test_more_than_lambda_takes_is_refused_before_anything_is_made(account: Account) -> None:
    arn = published(account, 3)
    with pytest.raises(ProvisionError, match=r"layers= take 3 MiB zipped.*248 MiB unzipped"):
        put(account, arn, 248)
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert put(account, arn, 240) > 0
    assert put(account, arn, 240) == 0
    destroy(resources(account, SETTINGS, here=False, contents=Contents()))
    (left,) = account.client("lambda").list_layers()["Layers"]
    assert left["LayerName"] == "mine"


@pytest.mark.parametrize("wrong", [":7", ":latest", "yours:1"])
def test_a_layer_that_is_not_there_is_said_before_anything_is_made(
    account: Account, wrong: str
) -> None:
    arn = published(account, 1)
    with pytest.raises(ProvisionError, match=r"layer version 'arn:.*' does not exist"):
        put(account, arn.rpartition(":")[0] + wrong, 1)
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_one_that_these_credentials_may_not_ask_about_is_left_to_lambda(
    account: Account, strict: StrictAws
) -> None:
    arn = published(account, 3)
    strict.options.denied = frozenset({"lambda:GetLayerVersion"})
    assert put(account, arn, 248) > 0
    assert strict.counts["denied_actions"] > 0
