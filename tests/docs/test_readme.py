"""README's links lead somewhere, in the repository and on the package index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
_README = (_ROOT / "README.md").read_text()


def test_links_lead_to_files() -> None:
    local = [link for link in _LINK.findall(_README) if "://" not in link]
    assert len(local) > 20
    assert [link for link in local if not (_ROOT / link).exists()] == []


def test_the_package_index_gets_absolute_links() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = _README
    for rule in hook["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    source = project["project"]["urls"]["Source"]
    assert [link for link in _LINK.findall(text) if not link.startswith("https://")] == []
    assert f"{source}/blob/main/docs/guides/deploying.md" in text
    assert (
        "(https://raw.githubusercontent.com/dolambda/dolambda/main/docs/pictures/run.svg)" in text
    )
