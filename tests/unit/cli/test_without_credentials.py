"""Who has no account yet can read what an administrator would create, with placeholders."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from support import programs

if TYPE_CHECKING:
    from pathlib import Path

_LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:own:1"


def _printed(home: Path, *arguments: str) -> tuple[Any, str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = programs.run("-m", "dolambda", *arguments, cwd=home, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_a_policy_is_printed_with_placeholders(tmp_path: Path) -> None:
    policy, said = _printed(tmp_path, "policy", "submitter")
    assert "arn:aws:s3:::dolambda-ACCOUNT-REGION" in str(policy)
    assert said.splitlines() == [
        "dolambda: no AWS credentials were found: ACCOUNT and REGION stand for yours"
    ]


def test_what_is_known_is_not_replaced(tmp_path: Path) -> None:
    role = "arn:aws-cn:iam::123456789012:role/given"
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.dolambda]\nregion = "cn-north-1"\nrole = "{role}"\n'
    )
    policy, said = _printed(tmp_path, "policy", "deployer")
    assert "123456789012-cn-north-1" in str(policy)
    assert "ACCOUNT" not in str(policy) + said


def test_a_template_needs_no_reply_of_aws(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.dolambda]\nrequires = []\nlayers = ["{_LAYER}"]\n'
    )
    template, _ = _printed(tmp_path, "template", "cloudformation")
    assert template["Outputs"]["Bucket"]["Value"] == "dolambda-ACCOUNT-REGION"
    assert _LAYER in str(template["Resources"])
