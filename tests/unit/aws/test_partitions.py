"""Partitions: as botocore has them, and named in one place."""

from __future__ import annotations

import re
from pathlib import Path

import boto3
import botocore.session
import pytest

import dolambda
from dolambda.aws.partitions import account_in, host, partition_of
from dolambda.provision import policies
from dolambda.provision.names import Names


def test_the_table_is_botocores() -> None:
    session = boto3.Session()
    data = botocore.session.get_session().get_data("partitions")["partitions"]
    assert len(data) >= 7
    for partition in data:
        for region in session.get_available_regions("s3", partition["id"]):
            found = partition_of(region)
            assert (found.name, found.dns_suffix) == (
                partition["id"],
                partition["outputs"]["dnsSuffix"],
            )


@pytest.mark.parametrize(
    ("region", "begins", "suffix"),
    [
        ("eu-central-1", "arn:aws:", "lambda.eu-central-1.amazonaws.com"),
        ("cn-north-1", "arn:aws-cn:", "lambda.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "arn:aws-us-gov:", "lambda.us-gov-west-1.amazonaws.com"),
        ("eusc-de-east-1", "arn:aws-eusc:", "lambda.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_every_arn_of_a_stack_is_in_the_regions_partition(
    region: str, begins: str, suffix: str
) -> None:
    names = Names.of("stack", region, "123456789012", None)
    arns = {names.function_arn, names.role_arn, names.bucket_arn, names.log_group_arn}
    for policy in (policies.worker, policies.submitter, policies.deployer):
        for statement in policy(names)["Statement"]:
            arns.update(place for place in statement["Resource"] if place != "*")
    assert all(arn.startswith(begins) for arn in arns)
    assert host("lambda", region) == suffix


REPOSITORY = Path(dolambda.__file__).parents[2]
TEXTS = {".py", ".R", ".r", ".html", ".js", ".css", ".toml", ".json", ".sh", ".Rd"}


def named() -> re.Pattern[str]:
    """Return what names a partition: ARNs, ends of hosts' names, partitions, their regions."""
    data = botocore.session.get_session().get_data("partitions")["partitions"]
    others = [one for one in data if one["id"] != "aws"]
    literals = {
        one["outputs"][name] for one in data for name in ("dnsSuffix", "dualStackDnsSuffix")
    }
    literals |= {one["id"] for one in others}
    regions = {one["outputs"]["implicitGlobalRegion"].rpartition("-")[0] for one in others}
    words = "|".join(re.escape(one) for one in sorted({*literals, *regions}))
    return re.compile(rf"arn:aws|(?<![\w.-])\.?({words})(?![\w])|amazonaws\.")


def test_no_other_file_names_a_partition_or_a_domain() -> None:
    pattern, found = named(), set()
    for root in (Path(dolambda.__file__).parent, REPOSITORY / "r"):
        files = [file for file in root.rglob("*") if file.suffix in TEXTS]
        assert files
        found |= {
            str(file.relative_to(root))
            for file in files
            if pattern.search(file.read_text(encoding="utf-8"))
        }
    assert found == {"aws/partitions.py"}


@pytest.mark.parametrize(
    "line",
    [
        'f"arn:aws:s3:::{bucket}"',
        'partition = "aws-cn"',
        'url = f"https://s3.{region}.amazonaws.com"',
        'host + ".c2s.ic.gov"',
        'region.startswith("us-gov-west")',
        'suffix = "amazonaws.eu"',
    ],
)
def test_such_a_line_is_found(line: str) -> None:
    assert named().search(line)


def test_the_account_of_an_arn() -> None:
    arn = "arn:aws-cn:lambda:cn-north-1:123456789012:function:dolambda"
    assert account_in(arn) == "123456789012"
    assert [account_in(other) for other in ("", "arn:aws:s3:::bucket", "a:b")] == [""] * 3
