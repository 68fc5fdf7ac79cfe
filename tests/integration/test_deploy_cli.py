"""deploy, plan, status, policy, destroy as a person types them, against the emulated AWS; and
killed at every step.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.local.stack import root
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.settings import Settings
from support import programs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dolambda.aws.account import Account
    from dolambda.local.instance import Instance


@pytest.fixture
def cli(instance: Instance, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line as the root user of the emulated AWS, with a stack of its own."""
    environ = dict(os.environ) | {
        "AWS_ACCESS_KEY_ID": instance.key,
        "AWS_SECRET_ACCESS_KEY": instance.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "DOLAMBDA_ENDPOINT_URL": instance.endpoint_url,
        "DOLAMBDA_STACK": "typed",
        "TMPDIR": str(tmp_path),
    }

    def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return programs.run("-m", "dolambda", *arguments, cwd=tmp_path, env=environ, **more)

    return run


def test_a_stacks_life_from_the_command_line(cli: Any, admin: Account) -> None:
    planned = cli("plan", "--memory", "512")
    assert json.loads(cli("plan", "--memory", "512", "--json").stdout)[0]["action"] == "create"
    assert "6 changes to the stack typed in us-east-1." in planned.stdout
    assert "create function typed: python3." in planned.stdout
    assert "typed" not in {
        function["FunctionName"]
        for function in admin.client("lambda").list_functions()["Functions"]
    }
    made = cli("deploy", "--memory", "512").stdout
    assert "The stack typed is deployed in us-east-1: 6 changes.\nIt works: one task in " in made
    assert made.endswith(" s (1 cold start).\n")
    again = cli("deploy", "--memory", "512", "--no-check")
    assert again.stdout == "The stack typed is deployed in us-east-1: nothing had to be changed.\n"
    assert cli("plan", "--memory", "512").stdout == "Nothing to change.\n"
    shown = json.loads(cli("status", "--json").stdout)
    assert (shown["stack"], shown["memory_mb"], shown["bucket"]) == (
        "typed",
        512,
        "typed-000000000000-us-east-1",
    )
    assert (
        shown["live_runs"],
        shown["jobs_queued"],
        shown["replies_waiting"],
        shown["differs_from_here"],
    ) == (0, 0, 0, [])
    health = cli("doctor")
    assert health.returncode == 0, health.stdout + health.stderr
    for what in ("credentials", "stack", "permissions", "quota", "versions", "round trip"):
        assert f"ok  {what}" in health.stdout, health.stdout
    assert cli("logs").stdout == "nothing in the last 60 minutes\n"
    assert "REPORT RequestId" in cli("logs", "--all").stdout
    refused = cli("destroy", typed="n\n")
    assert refused.returncode == 1
    assert "remove function typed" in refused.stdout
    assert cli("destroy", "--yes").stdout.endswith("The stack typed is removed.\n")
    assert cli("destroy", "--yes").stdout == "There is no stack typed in us-east-1.\n"
    ill = json.loads(cli("doctor", "--json").stdout)
    assert {finding["what"]: finding["fine"] for finding in ill}["stack"] is False
    absent = cli("status")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert absent.stderr.startswith("dolambda: there is no stack 'typed' in us-east-1")
    assert "Traceback" not in absent.stderr


@pytest.mark.parametrize("who", ["worker", "submitter", "deployer"])
def test_policies_are_printed_scoped_to_the_stack(cli: Any, who: str) -> None:
    document = json.loads(cli("policy", who).stdout)
    places = [
        place
        for statement in document["Statement"]
        for place in statement["Resource"]
        if place != "*"
    ]
    assert places
    assert all("typed" in place for place in places)


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (
            ["deploy", "--memory", "20000"],
            "--memory 20000 is not a whole number of MB from 128 to 10,240",
        ),
        (["deploy", "--requires", "./mine"], "Your own modules travel without being required"),
        (["deploy", "--log-days", "2"], "--log-days 2 is not one of the numbers of days"),
        (["deploy", "--requires", "no-such-package-of-ours-at-all"], "could not be resolved"),
    ],
)
def test_mistakes_are_told_without_a_traceback(cli: Any, mistake: list[str], says: str) -> None:
    done = cli(*mistake)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_do_what_deploy_does(
    cli: Any, instance: Instance, tmp_path: Path, aws_tools: Path
) -> None:
    """The printed commands, run by the AWS CLI, make a stack in which deploy finds nothing to
    change.
    """
    settings, account = root(instance, Settings(stack="typed", requires=("botocore",)))
    done = cli("deploy", "--commands", "--requires", "botocore", "--concurrency", "7")
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    assert cli("status").returncode == 1  # nothing was made
    lines = [line for line in printed.splitlines() if line.startswith("aws ")]
    operations = [" ".join(line.split()[1:3]) for line in lines]
    assert operations[:2] == ["s3api create-bucket", "s3api wait"]
    assert operations.index("s3api put-object") < operations.index("lambda create-function")
    assert "DOLAMBDA_KEY" not in printed
    assert (
        oct(next(tmp_path.glob("dolambda-zips-*/*environment.json")).stat().st_mode)[-3:] == "600"
    )
    commands = printed[printed.index("set -e") :]
    for awaited in ("sleep 15", "wait function-active-v2", "sleep 5  # until S3"):
        assert awaited in commands
    _run(aws_tools, instance, "sleep() { :; }\n" + commands, tmp_path)
    there = replace(settings, workers=None, concurrency=7)
    assert deploy(resources(account, there, here=False)) == 0

    changed = cli("deploy", "--commands", "--requires", "cloudpickle", "--memory", "512").stdout
    changed = changed[changed.index("set -e") :]
    assert "wait function-updated-v2" in changed
    _run(aws_tools, instance, "sleep() { :; }\n" + changed, tmp_path)
    there = replace(settings, workers=None, requires=("cloudpickle",), memory=512)
    assert deploy(resources(account, there, here=False)) == 0
    destroy(resources(account, settings, here=False))


def _run(tools: Path, instance: Instance, script: str, directory: Path) -> None:
    environ = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(directory),
        "AWS_ACCESS_KEY_ID": instance.key,
        "AWS_SECRET_ACCESS_KEY": instance.secret,
    }
    done = subprocess.run(
        ["/bin/bash", "-c", script],
        env=environ,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout + done.stderr


KILLED = """
import os, signal, sys
from dolambda.aws.account import Account, Credentials
from dolambda.provision.deploy import deploy, resources
from dolambda.settings import Settings
after, endpoint, key, secret = int(sys.argv[1]), *sys.argv[2:5]
settings = Settings(
    stack="killed", region="us-east-1", endpoint_url=endpoint, requires=("cloudpickle",)
)
account = Account.from_settings(settings, Credentials(key, secret))
writes = []
def die(service, operation, params):
    if not operation.startswith(("Get", "List", "Head", "Describe")):
        writes.append(operation)
        if len(writes) > after:
            print(operation, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
account.number
account.intercept(die)
deploy(resources(account, settings, here=True))
"""


@pytest.mark.soak
def test_killed_before_any_of_its_requests_deploy_goes_on_where_it_stopped(
    instance: Instance, tmp_path: Path
) -> None:
    settings, account = root(instance, Settings(stack="killed", requires=("cloudpickle",)))
    died: list[str] = []
    for after in range(100):
        done = programs.run(
            "-c",
            KILLED,
            str(after),
            instance.endpoint_url,
            instance.key,
            instance.secret,
            timeout=60,
            env=dict(os.environ) | {"TMPDIR": str(tmp_path)},
        )
        assert (
            len(list(tmp_path.glob("dolambda-layer-*"))) <= 1
        )  # what a killed process leaves, the next one removes
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        died.append(done.stdout.strip())
        if after % 3 == 0:
            # From here on; else from nothing, so that each request is once the last of a first
            # deploy.
            deploy(resources(account, settings, here=True))
            assert deploy(resources(account, settings, here=True)) == 0
        destroy(resources(account, replace(settings, requires=()), here=True))
        assert not {
            bucket["Name"]
            for bucket in account.client("s3").list_buckets()["Buckets"]
            if "killed" in bucket["Name"]
        }
        assert not [
            role
            for role in account.client("iam").list_roles()["Roles"]
            if "killed" in role["RoleName"]
        ]
    assert len(died) >= 13
    destroy(resources(account, replace(settings, requires=()), here=True))
