"""A test that needs a program: skipped without it, failed in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.needs("sh")
def test_present(): pass

@pytest.mark.needs("sh", "no-such-program")
def test_absent(): pass
"""


@pytest.mark.parametrize(
    ("ci", "code", "outcome"),
    [("", 0, "1 passed, 1 skipped"), ("true", 1, "1 passed, 1 error")],
    ids=["elsewhere", "in CI"],
)
def test_what_is_missing_is_named(tmp_path: Path, ci: str, code: int, outcome: str) -> None:
    file = tmp_path / "test_programs.py"
    file.write_text(TESTS, encoding="utf-8")
    place = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "support.needs", "--strict-markers", file],
        env=os.environ | {"CI": ci, "PYTHONPATH": place, "PYTEST_ADDOPTS": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout
    assert outcome in done.stdout.splitlines()[-1]
    assert "not installed on this system: no-such-program" in done.stdout
