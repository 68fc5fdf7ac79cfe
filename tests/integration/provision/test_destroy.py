"""`dolambda destroy` with every kind of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from dolambda.cli import app
from dolambda.environment.layer import Contents
from dolambda.provision.deploy import deploy, resources
from dolambda.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from dolambda.aws.account import Account

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("name", ["REQUIRES", "REQUIREMENTS"])
def test_it_removes_the_stack_whatever_the_workers_require(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    settings = Settings(stack="gone", region="eu-central-1", requires=())
    deploy(resources(account, settings, here=False, contents=Contents()))
    listed = tmp_path / "requirements.txt"
    listed.write_text("numpy\n")
    monkeypatch.delenv("DOLAMBDA_REQUIRES", raising=False)
    monkeypatch.setenv(f"DOLAMBDA_{name}", str(listed) if name == "REQUIREMENTS" else "numpy")
    for variable, value in {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}.items():
        monkeypatch.setenv(variable, value)
    arguments = ["destroy", "--yes", "--stack", "gone", "--region", "eu-central-1"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert account.client("lambda").list_functions()["Functions"] == []
