"""The fixtures of `dolambda.testing`, in a project of a user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CONFTEST = """\
import pytest

pytest_plugins = ["dolambda.testing"]


@pytest.fixture(scope="session")
def dolambda_settings():
    return {"requires": [], "workers": 2}
"""

_TESTS = """\
import os

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from dolambda import LambdaExecutor


def test_on_workers(dolambda_local):
    with LambdaExecutor() as executor:
        assert executor.submit(os.getpid).result() != os.getpid()
    assert dolambda_local.report().done == 1


def test_on_the_same_workers_again(dolambda_local):
    assert Parallel(n_jobs=-1)(delayed(abs)(i) for i in range(-2, 1)) == [2, 1, 0]
    assert dolambda_local.report().done == 3


def test_in_process(dolambda_in_process):
    with LambdaExecutor() as executor:
        assert executor.submit(os.getpid).result() == os.getpid()


def test_nothing_stays_registered():
    assert "Lambda" not in type(get_active_backend()[0]).__name__
"""


def test_a_project_tests_its_code_with_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(_CONFTEST)
    (tmp_path / "test_mine.py").write_text(_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environ = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout
