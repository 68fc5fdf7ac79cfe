"""A stack made of the printed template, on the emulator's own CloudFormation: it runs jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dolambda import LambdaExecutor
from dolambda.environment.layer import Contents
from dolambda.local.stack import root
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.provision.template import Template
from dolambda.registration import register, unregister
from dolambda.settings import Settings
from dolambda.stack import Stack
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.aws.account import Account
    from dolambda.local.instance import Instance
    from dolambda.provision.plan import Resource

LEFT_OUT = {  # by the emulator; tests/integration/provision/test_template.py creates them
    "mark it as this stack's",
    "let forgotten objects expire",
    "Lambda's own retries off, events wait for 6 h",
}
UPLOADS = "files-of-templates"


@pytest.fixture
def uploads(admin: Account) -> Iterator[str]:
    """A bucket for what the template is made of."""
    s3 = admin.client("s3")
    s3.create_bucket(Bucket=UPLOADS)
    yield UPLOADS
    for entry in s3.list_objects_v2(Bucket=UPLOADS).get("Contents", []):
        s3.delete_object(Bucket=UPLOADS, Key=entry["Key"])
    s3.delete_bucket(Bucket=UPLOADS)


def stands(admin: Account, name: str, done: str = "CREATE_COMPLETE") -> bool:
    (found,) = admin.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    assert "ROLLBACK" not in found["StackStatus"], found
    assert "FAILED" not in found["StackStatus"], found
    return bool(found["StackStatus"] == done)


def test_a_stack_made_of_the_template_runs_jobs(instance: Instance, uploads: str) -> None:
    settings, admin = root(instance, Settings(stack="shaped", requires=()))
    parts = resources(admin, settings, here=True, contents=Contents())
    made = Template.of(admin, names_of(admin, settings), parts)
    for name, content in made.uploads.items():
        admin.client("s3").put_object(Bucket=uploads, Key=name, Body=content)
    admin.client("cloudformation").create_stack(
        StackName="shaped",
        TemplateBody=json.dumps(made.document),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": "UploadBucket", "ParameterValue": uploads},
            {"ParameterKey": "SigningKey", "ParameterValue": "ab" * 32},
        ],
    )
    until(lambda: stands(admin, "shaped"))
    register(
        stack="shaped",
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        key=instance.key,
        secret=instance.secret,
        progress=False,
    )
    try:
        with LambdaExecutor() as executor:
            assert list(executor.map(abs, range(-3, 0))) == [3, 2, 1]
    finally:
        unregister()
    assert {change.why for part in parts for change in part.changes()} == LEFT_OUT
    deploy(parts)
    assert [change for part in parts for change in part.changes()] == []
    destroy(parts)


def test_the_stack_becomes_what_a_later_template_says(instance: Instance, uploads: str) -> None:
    """The administrator updates it; the key that was passed first stays."""
    settings, admin = root(instance, Settings(stack="reshaped", requires=()))
    stacks = admin.client("cloudformation")

    def parts(chosen: Settings) -> list[Resource]:
        return resources(admin, chosen, here=True, contents=Contents())

    def request(chosen: Settings, key: dict[str, object]) -> dict[str, Any]:
        made = Template.of(admin, names_of(admin, chosen), parts(chosen))
        for name, content in made.uploads.items():
            admin.client("s3").put_object(Bucket=uploads, Key=name, Body=content)
        place = {"ParameterKey": "UploadBucket", "ParameterValue": uploads}
        return {
            "StackName": "reshaped",
            "TemplateBody": json.dumps(made.document),
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Parameters": [place, {"ParameterKey": "SigningKey", **key}],
        }

    stacks.create_stack(**request(settings, {"ParameterValue": "cd" * 32}))
    until(lambda: stands(admin, "reshaped"))
    later = replace(settings, memory=512, timeout=60, log_days=30)
    stacks.update_stack(**request(later, {"UsePreviousValue": True}))
    until(lambda: stands(admin, "reshaped", "UPDATE_COMPLETE"))
    assert {change.why for part in parts(later) for change in part.changes()} == LEFT_OUT
    assert Stack.from_account(admin, later).key == bytes.fromhex("cd" * 32)
    destroy(parts(later))


def test_the_printed_commands_create_it(
    instance: Instance, uploads: str, aws_tools: Path, tmp_path: Path
) -> None:
    """The AWS CLI runs what `dolambda template` prints; afterwards deploy has nothing else to
    do.
    """
    settings, admin = root(instance, Settings(stack="typed-shape", requires=()))
    environ = {
        "PATH": f"{aws_tools}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": instance.key,
        "AWS_SECRET_ACCESS_KEY": instance.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "DOLAMBDA_ENDPOINT_URL": instance.endpoint_url,
        "DOLAMBDA_STACK": "typed-shape",
        "DOLAMBDA_REQUIRES": "",
        "UPLOADS": uploads,
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=150, env=environ
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    dolambda = str(Path(sys.executable).with_name("dolambda"))
    directory = tmp_path / "made for us"
    alone = json.loads(run(dolambda, "template", "cloudformation"))
    script = run(dolambda, "template", "cloudformation", "--output", str(directory))
    assert json.loads((directory / "template.json").read_text()) == alone
    run("/bin/bash", "-c", script)
    assert stands(admin, "typed-shape")
    there = replace(settings, workers=None)
    parts = resources(admin, there, here=False, contents=Contents())
    assert {change.why for part in parts for change in part.changes()} == LEFT_OUT
    destroy(parts)
