"""The R package by R's own check: code, documentation, examples and tests."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.r_session import PACKAGE

if TYPE_CHECKING:
    from pathlib import Path

    from support.r_session import RSession

pytestmark = pytest.mark.needs("R")

_GUIDE = PACKAGE.parents[1] / "docs" / "guides" / "r.md"
_README = PACKAGE.parents[1] / "README.md"
_VIGNETTE = PACKAGE / "vignettes" / "doLambda.Rmd"


def chunks(file: Path) -> list[str]:
    """Return the R code of a text."""
    return re.findall(r"^```r\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.needs("Rscript")
@pytest.mark.parametrize("file", [_README, _GUIDE, _VIGNETTE], ids=lambda file: file.name)
def test_the_code_that_users_read_runs(r_session: RSession, file: Path) -> None:
    code = [chunk for chunk in chunks(file) if "install.packages(" not in chunk]
    assert code
    text = re.sub(r"^install_dolambda\(\).*", "", "\n".join(code), flags=re.MULTILINE)
    ours = text.replace('registerDoLambda("local")', "register()")
    assert ours.count("register()") == 1
    r_session.run(ours)


def test_the_built_vignette_is_that_of_its_source() -> None:
    documents = PACKAGE / "inst" / "doc"
    assert (documents / "doLambda.Rmd").read_text() == _VIGNETTE.read_text()
    shown = html.unescape(re.sub("<[^>]*>", "", (documents / "doLambda.html").read_text()))
    assert [chunk for chunk in chunks(_VIGNETTE) if chunk not in shown] == []
    text = re.sub(
        r"(?s)^---.*?^---|^```.*?^```|[`#]", "", _VIGNETTE.read_text(), flags=re.MULTILINE
    )
    assert set(text.split()) - set(shown.split()) == set()


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
