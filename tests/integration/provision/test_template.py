"""The CloudFormation template: valid, and a stack made of it is one in which deploy changes
nothing.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from moto.s3.models import s3_backends

from dolambda.aws.account import Account, Credentials
from dolambda.environment.layer import Archive, Contents
from dolambda.provision.deploy import deploy, names_of, resources
from dolambda.provision.plan import Resource  # noqa: TC001 - pytest reads annotations
from dolambda.provision.template import Template
from dolambda.settings import Settings
from dolambda.wire import signing_keys
from support import moto_cloudformation
from support.strict_aws import Options, StrictAws, before

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SETTINGS = Settings(stack="shaped", region="eu-central-1", requires=())
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
OTHERS_LAYER = "arn:aws:lambda:eu-central-1:123456789012:layer:others:1"
GIVEN = "arn:aws:iam::123456789012:role/team/made-by-an-administrator"
KEY = "0123456789abcdef" * 4


def contents(*sizes: int, bundle: bool = False) -> Contents:
    """Contents whose layers have these many bytes; the larger go through the bucket."""
    archives = [
        Archive([f"p{size}"], {f"python/p{size}.py": bytes(size)}, size, compress=False)
        for size in sizes
    ]
    packed = Archive(["big"], {"big.py": b"#"}, 1 << 20, compress=True) if bundle else None
    return Contents(("p==1",), layers=tuple(archives), bundle=packed)


def parts_of(account: Account, settings: Settings, held: Contents) -> list[Resource]:
    return resources(account, settings, here=False, contents=held)


def administrators() -> Account:
    return Account.from_settings(SETTINGS, Credentials("AK", "SK"))


def template_of(settings: Settings, held: Contents | None = None) -> Template:
    """Return the template; of its requests only those are answered that are passed on to AWS."""
    held = held or Contents()
    rules = StrictAws(Options(region="eu-central-1"), only=["account_settings"])
    account = before(administrators(), rules)
    return Template.of(account, names_of(account, settings), parts_of(account, settings, held))


def administer(template: Template, tools: Path) -> None:
    """Do what an administrator does: upload, create, upload."""
    account = administrators()
    s3 = account.client("s3")
    s3.create_bucket(
        Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": account.region}
    )
    for name, content in template.uploads.items():
        s3.put_object(Bucket="uploads", Key=f"dolambda/{name}", Body=content)
    moto_cloudformation.load(tools)
    moto_cloudformation.create_stack(
        account,
        "shaped",
        json.dumps(template.document),
        {"UploadBucket": "uploads", "UploadPrefix": "dolambda/", "SigningKey": KEY},
    )
    bucket = template.document["Outputs"]["Bucket"]["Value"]
    for key, content in template.objects.items():
        # moto denies requests by the policy that denies those without TLS.
        s3_backends["123456789012"]["aws"].put_object(bucket, key, content)


VARIETY: list[tuple[dict[str, Any], Contents]] = [
    ({}, Contents()),
    ({"concurrency": 7, "log_days": 30, "memory": 3008, "timeout": 900}, contents(10, 20)),
    ({"permissions_boundary": BOUNDARY, "layers": (OTHERS_LAYER,)}, contents(3 << 20)),
    ({"role": GIVEN, "storage": 2048}, contents(10, bundle=True)),
    ({"bucket": "a-name-of-theirs", "architecture": "arm64"}, Contents()),
    ({"runtime": "provided.al2023", "layers": (OTHERS_LAYER,), "workers": 3}, Contents()),
]


@pytest.fixture
def theirs(account: Account) -> Account:
    """An account with a role and a layer of an administrator's."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    account.client("iam").create_role(
        RoleName="made-by-an-administrator",
        Path="/team/",
        AssumeRolePolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
        ),
    )
    account.client("lambda").publish_layer_version(
        LayerName="others", Content={"ZipFile": b"PK\x05\x06" + bytes(18)}
    )
    return account


@pytest.mark.parametrize(("given", "held"), VARIETY)
def test_deploy_finds_nothing_to_change_in_a_stack_made_of_it(
    theirs: Account, aws_tools: Path, given: dict[str, Any], held: Contents
) -> None:
    settings = replace(SETTINGS, **given)
    administer(template_of(settings, held), aws_tools)
    parts = parts_of(theirs, settings, held)
    assert [change for part in parts for change in part.changes()] == []
    assert deploy(parts) == 0


def test_printing_changes_nothing_and_leaves_the_account_usable(account: Account) -> None:
    template_of(SETTINGS, contents(10))
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert account.client("lambda").list_functions()["Functions"] == []
    assert deploy(parts_of(account, SETTINGS, Contents())) > 0
    assert template_of(SETTINGS).document["Resources"]["Bucket"]


@pytest.mark.usefixtures("account")
def test_the_signing_key_is_in_no_template() -> None:
    template = template_of(SETTINGS)
    resources = template.document["Resources"]
    variables = resources["Function"]["Properties"]["Environment"]["Variables"]
    keys = {name: variables.get(name) for name in signing_keys.VARIABLES}
    assert keys == {"DOLAMBDA_KEY": {"Ref": "SigningKey"}} | dict.fromkeys(
        ("DOLAMBDA_KEY_NEXT", "DOLAMBDA_KEY_BEFORE")
    )
    parameter = template.document["Parameters"]["SigningKey"]
    assert parameter["NoEcho"] is True
    assert "Default" not in parameter
    printed = [json.dumps(template_of(SETTINGS).document) for _ in range(2)]
    assert printed[0] == printed[1]  # nothing random is in it


@pytest.mark.usefixtures("account")
def test_files_are_named_by_content_and_listed_with_their_digests(tmp_path: Path) -> None:
    template = template_of(SETTINGS, contents(10, 3 << 20, bundle=True))
    template.write(tmp_path)
    listed = template.document["Metadata"]["dolambda"]
    before = {one["File"] for one in listed["UploadBeforeCreating"]}
    (after,) = listed["UploadAfterCreating"]
    assert len(before) == 3
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.zip")}
    assert written == before | {after["File"]}
    assert after["UploadTo"] == f"s3://shaped-123456789012-eu-central-1/{after['File']}"
    for one in [*listed["UploadBeforeCreating"], after]:
        content = (tmp_path / one["File"]).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (one["Sha256"], one["Bytes"])


@pytest.mark.usefixtures("theirs")
def test_the_linter_has_nothing_to_say(aws_tools: Path, tmp_path: Path) -> None:
    documents = [template_of(replace(SETTINGS, **given), held).document for given, held in VARIETY]
    assert lint(aws_tools, tmp_path, documents) == []


@pytest.mark.usefixtures("account")
def test_the_linter_finds_a_circle(aws_tools: Path, tmp_path: Path) -> None:
    document = template_of(SETTINGS).document
    document["Resources"]["Permission"]["DependsOn"].append("Bucket")
    assert any("Circular" in said for said in lint(aws_tools, tmp_path, [document]))


def lint(tools: Path, directory: Path, documents: list[dict[str, Any]]) -> list[str]:
    paths = [directory / f"{number}.json" for number in range(len(documents))]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(json.dumps(document))
    command = [str(tools / "cfn-lint"), "--format", "json", "--regions", "eu-central-1"]
    done = subprocess.run(
        [*command, "--include-checks", "I", "--", *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert not done.stderr, done.stderr
    return [one["Message"] for one in json.loads(done.stdout)]
