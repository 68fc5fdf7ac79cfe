"""The main job, as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import programs

DOLAMBDA = str(Path(sys.executable).with_name("dolambda"))


def test_the_demo_computes_on_lambda_what_loky_computes_and_leaves_nothing(tmp_path: Path) -> None:
    environ = dict(os.environ) | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [DOLAMBDA, "demo", "--tasks", "40"],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
        env=environ,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[36, 72, 108, 144, 180, 216, 252, 288, 324, 360]" in done.stdout
    assert "equal, bit for bit, in all 40 replicates" in done.stdout
    assert "50, of which 0 failed" in done.stdout
    assert "Left behind: 0 objects under jobs/ and outs/, 0 emulators" in done.stdout
    assert list(tmp_path.glob("dolambda-*")) == []


def test_help_and_version_read_well() -> None:
    shown = subprocess.run([DOLAMBDA, "--help"], capture_output=True, text=True, check=True)
    assert "demo" in shown.stdout
    assert "local" in shown.stdout
    version = subprocess.run([DOLAMBDA, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("dolambda 0.")


def test_the_examples_run(tmp_path: Path) -> None:
    environ = dict(os.environ) | {"TMPDIR": str(tmp_path)}
    found = {}
    for example in sorted((Path(__file__).parents[2] / "examples").glob("*.py")):
        done = programs.run(str(example), env=environ)
        assert done.returncode == 0, done.stderr
        found[example.name] = done.stdout
    assert found["loop.py"] == "[36, 72, 108, 144, 180, 216, 252, 288, 324, 360]\n1980\n"
    assert found["executor.py"].startswith("3.14")
    there = found["backends.py"].split("loky\n")[1].split("dask\n")
    on_loky, (on_dask, on_lambda) = there[0], there[1].split("dolambda\n")
    assert on_loky == on_dask == on_lambda
    assert on_loky.count("\n") == 5
    assert list(tmp_path.glob("dolambda-*")) == []
