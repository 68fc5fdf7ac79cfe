"""The printed policies, linted with AWS's own list of actions and resource types."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.provision import policies
from dolambda.provision.names import Names

if TYPE_CHECKING:
    from pathlib import Path

NAMES = Names.of("linted", "eu-central-1", "123456789012", "my-bucket")
MANAGED_LIMIT = 6144
INHERENT = {
    "RESOURCE_POLICY_PRIVILEGE_ESCALATION"  # who deploys writes the bucket's policy
}


def findings(tools: Path, document: dict[str, Any]) -> list[str]:
    done = subprocess.run(
        [tools / "parliament", "--json"],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "error" not in done.stderr, done.stderr
    return [
        line
        for line in done.stdout.splitlines()
        if line.strip() and json.loads(line)["issue"] not in INHERENT
    ]


@pytest.mark.parametrize("who", ["worker", "submitter", "deployer"])
def test_a_policy_has_no_finding_and_fits(who: str, aws_tools: Path) -> None:
    document = getattr(policies, who)(NAMES)
    assert len(json.dumps(document, separators=(",", ":"))) < MANAGED_LIMIT
    assert findings(aws_tools, document) == []


def test_the_linter_finds_a_wrong_resource(aws_tools: Path) -> None:
    wrong = {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": [NAMES.function_arn]}
    found = findings(aws_tools, {"Version": "2012-10-17", "Statement": [wrong]})
    assert "RESOURCE_MISMATCH" in found[0]
