"""The R package by R's own check: code, documentation, examples and tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.r_session import PACKAGE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("R")


def test_r_cmd_check_finds_no_error_and_no_warning(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LANG": "C.UTF-8",
        "DOLAMBDA_PYTHON": sys.executable,
        "_R_CHECK_FORCE_SUGGESTS_": "false",
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            ["R", "CMD", *arguments],  # noqa: S607 - the R on the path is meant
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=170,
            check=False,
        )
        return done.stdout

    run("build", "--no-build-vignettes", str(PACKAGE))
    [built] = tmp_path.glob("doLambda_*.tar.gz")
    checked = run("check", "--no-manual", "--ignore-vignettes", built.name)
    assert re.search(r"^Status: (OK|\d NOTEs?)$", checked, re.MULTILINE), checked
    log = (tmp_path / "doLambda.Rcheck" / "tests" / "loops.Rout").read_text()
    assert "\ndolambda is not installed" not in log  # it begins a line where it was printed
