"""Plugin of pytest: `@pytest.mark.needs("program", ...)` for tests of what the system must have.

Without the program the test is skipped, and says so. In CI (`CI=true`) it fails instead:
`.ci/apt.txt` lists what CI installs.
"""

from __future__ import annotations

import os
import shutil

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "needs(*programs): skip without these, but fail in CI")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail before any fixture is set up."""
    programs = [program for marker in item.iter_markers("needs") for program in marker.args]
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    reason = f"not installed on this system: {', '.join(missing)}"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}\n  Add its package to .ci/apt.txt.", pytrace=False)
    pytest.skip(reason)
