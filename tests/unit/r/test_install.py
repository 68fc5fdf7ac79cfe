"""doLambda's install_dolambda(): what pip is asked to install."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("Rscript")

_SOURCE = Path(__file__).parents[3] / "r" / "doLambda" / "R" / "install.R"
_PYTHON = """#!/bin/sh
echo "$@" >> "{log}"
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
"""


@pytest.mark.parametrize("clone", [True, False])
def test_a_directory_with_the_sources_is_not_taken_for_a_name(tmp_path: Path, clone: bool) -> None:
    python, log = tmp_path / "python3", tmp_path / "log"
    python.write_text(_PYTHON.format(log=log))
    python.chmod(0o755)
    (tmp_path / "dolambda").mkdir()
    if clone:
        (tmp_path / "dolambda" / "pyproject.toml").touch()
    call = f"install_dolambda('dolambda', python = '{python}', directory = '{tmp_path}/made')"
    subprocess.run(
        [str(shutil.which("Rscript")), "-e", f"source('{_SOURCE}'); {call}"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},  # without uv
        check=True,
        capture_output=True,
        timeout=60,
    )
    installed = log.read_text().splitlines()[-1].split()[-1]
    assert installed == (str(tmp_path / "dolambda") if clone else "dolambda")
