"""The words that STYLE forbids are nowhere a user, or a reader of the code, can meet them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_WORDS = re.compile(
    r"\b(mend|mends|mended|anew|nought|whoever|besides|shall|how-manieth|for want of|of "
    r"ours|nobody waits)\b",
    re.IGNORECASE,
)
_BEGINNINGS = re.compile(r"(What|Whether|Who|How|When|Give|Gives|Tell|Tells)\b")
_PAGES = [
    *sorted(_ROOT.glob("*.md")),
    *sorted(_ROOT.glob("bench/*.md")),
    *sorted(_ROOT.glob(".github/**/*.*")),
    *sorted(_ROOT.glob("examples/*")),
    *(
        page
        for page in sorted((_ROOT / "docs").rglob("*.md"))
        if not {"_build", "generated"} & set(page.parts)
    ),
]
_R = [
    path
    for pattern in ("R/*.R", "man/*.Rd", "vignettes/*.Rmd")
    for path in sorted((_ROOT / "r" / "doLambda").glob(pattern))
]
_SOURCES = sorted((_ROOT / "src").rglob("*.py"))


def _shown(path: Path) -> str:
    return str(path.relative_to(_ROOT))


@pytest.mark.parametrize("path", [*_PAGES, *_R, *_SOURCES], ids=_shown)
def test_no_forbidden_word(path: Path) -> None:
    found = [
        f"{_shown(path)}:{number}: {match[0]}"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for match in _WORDS.finditer(line)
    ]
    assert found == []


def test_docstrings_begin_with_what_something_does_or_is() -> None:
    found = [
        f"{_shown(path)}: {docstring.splitlines()[0]}"
        for path in _SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and _BEGINNINGS.match(docstring := ast.get_docstring(node) or "")
    ]
    assert found == []


_NOT_PROSE = re.compile(
    r"^( *)```.*?^ *```$|^---\n.*?^---$|`[^`]*`|\]\([^)]*\)", re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize(
    "path",
    [page for page in _PAGES if "docs" in page.parts or page.name == "README.md"],
    ids=_shown,
)
def test_documentation_has_no_semicolons(path: Path) -> None:
    """Cells of tables may hold several fragments, and code what it wants."""
    prose = _NOT_PROSE.sub("", path.read_text())
    assert prose
    found = [
        line for line in prose.splitlines() if ";" in line and not line.lstrip().startswith("|")
    ]
    assert found == []
