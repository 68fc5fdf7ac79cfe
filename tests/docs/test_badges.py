"""The badges of README say what pyproject.toml says."""

from __future__ import annotations

import runpy
from pathlib import Path

_PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def test_badges_are_those_of_the_project() -> None:
    drawn = runpy.run_path(str(_PICTURES / "record_badges.py"))["badges"]()
    written = {path.stem: path.read_text() for path in (_PICTURES / "badges").glob("*.svg")}
    assert written == drawn  # else run docs/pictures/record_badges.py
