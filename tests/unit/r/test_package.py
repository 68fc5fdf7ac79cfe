"""The R package is released together with the Python package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[3]


def test_it_has_the_version_of_the_python_package() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    description = (_ROOT / "r" / "doLambda" / "DESCRIPTION").read_text()
    assert re.findall(r"^Version: (.*)$", description, re.MULTILINE) == [project["version"]]
