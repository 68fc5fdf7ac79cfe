"""Layers: named by content, sent as a slow line can send them."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from dolambda.environment.layer import Archive, Contents
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.settings import Settings

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from support.strict_aws import StrictAws

# moto itself uses what botocore will deprecate, and Python's utcnow.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SETTINGS = Settings(stack="layered", region="eu-central-1", requires=())


def archive(name: str, size: int = 100) -> Archive:
    content = random.Random(name).randbytes(size)  # noqa: S311 - the same each time
    return Archive([name], {f"python/{name}.py": content}, size, compress=False)


def put(account: Account, *layers: Archive) -> int:
    return deploy(resources(account, SETTINGS, here=False, contents=Contents(layers=layers)))


def layers_of(account: Account) -> list[str]:
    found = account.client("lambda").get_function_configuration(FunctionName="layered")
    return [layer["Arn"] for layer in found.get("Layers", [])]


@pytest.mark.parametrize(
    "steps",
    [
        ("numpy pandas", "numpy matplotlib pandas"),
        ("numpy rest", "scipy numpy rest", "numpy pandas rest", "rest"),
        ("a b c d e", "b c d e f", "e d c b a"),
    ],
)
def test_layers_come_and_go_without_two_versions_of_one(
    account: Account, steps: tuple[str, ...]
) -> None:
    for before, after in pairwise(("", *steps)):
        put(account, *map(archive, after.split()))
        arns = layers_of(account)
        assert len({arn.rpartition(":")[0] for arn in arns}) == len(arns) == len(after.split())
        assert put(account, *map(archive, after.split())) == 0, before
    destroy(resources(account, SETTINGS, here=False))
    assert account.client("lambda").list_layers()["Layers"] == []


def test_content_that_is_deployed_is_not_uploaded_again(
    account: Account, strict: StrictAws
) -> None:
    put(account, archive("numpy"), archive("rest"))
    strict.requests.clear()
    put(account, archive("scipy"), archive("numpy"), archive("rest"))
    published = [one for one in strict.requests if one.operation == "PublishLayerVersion"]
    assert len(published) == 1


def test_layers_that_an_older_version_numbered_are_replaced_and_removed(account: Account) -> None:
    numpy = archive("numpy")
    for slot in (1, 2):
        account.client("lambda").publish_layer_version(
            LayerName=f"layered-requires-{slot}",
            Description=numpy.digest,
            Content={"ZipFile": numpy.content},
        )
    account.client("lambda").publish_layer_version(
        LayerName="layered-requires-mine",
        Description="another's",
        Content={"ZipFile": numpy.content},
    )
    put(account, numpy)
    found = {layer["LayerName"] for layer in account.client("lambda").list_layers()["Layers"]}
    assert found == {f"layered-requires-{numpy.digest[:12]}", "layered-requires-mine"}


def test_a_layer_of_many_megabytes_passes_a_home_line(account: Account, strict: StrictAws) -> None:
    strict.options.line_bytes_per_s = 2e6  # 16 Mbit/s
    put(account, archive("numpy", 22 << 20), archive("small", 1 << 20))
    assert len(layers_of(account)) == 2
    left = account.client("s3").list_objects_v2(
        Bucket="layered-123456789012-eu-central-1", Prefix="layers/"
    )
    assert left["KeyCount"] == 0
    transports = {
        next(iter(one.params["Content"]))
        for one in strict.requests
        if one.operation == "PublishLayerVersion"
    }
    assert transports == {"S3Bucket", "ZipFile"}
