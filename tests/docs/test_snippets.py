"""Every Python snippet of README and the documentation runs as it stands, page by page, as a
program of its own; so do the examples.

The tutorials are not here: they are notebooks, which `make docs` executes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ROOT = Path(__file__).parents[2]
_SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REQUIRES = {"docs/guides/foreach.md": "numpy"}  # a page's workers have nothing else
_DOLAMBDA = str(Path(sys.executable).with_name("dolambda"))


def _pages() -> list[str]:
    pages = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))]
    written = [page for page in pages if "_build" not in page.parts]
    return [str(page.relative_to(_ROOT)) for page in written if _SNIPPET.search(page.read_text())]


def _as_program(page: str) -> str:
    """The page's snippets, each in its own lines, so that a traceback names them."""
    text = (_ROOT / page).read_text()
    lines = [""] * text.count("\n")
    for snippet in _SNIPPET.finditer(text):
        first = text.count("\n", 0, snippet.start(1))
        for offset, line in enumerate(snippet[1].splitlines()):
            lines[first + offset] = line
    return "\n".join(lines)


@pytest.fixture(scope="module")
def environ() -> Iterator[Mapping[str, str]]:
    """The environment of a user who has run `dolambda local start`."""
    with tempfile.TemporaryDirectory(prefix="dolambda-docs-") as directory:
        kept = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
        environ = {**kept, "TMPDIR": directory, "DOLAMBDA_REQUIRES": ""}
        _run([_DOLAMBDA, "local", "start"], environ)
        yield environ
        _run([_DOLAMBDA, "local", "stop", "--yes"], environ)


def _run(command: list[str], environ: Mapping[str, str]) -> str:
    ran = subprocess.run(
        command,
        env=environ,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.mark.parametrize("page", _pages())
def test_the_snippets_of_a_page_run(page: str, environ: Mapping[str, str], tmp_path: Path) -> None:
    program = tmp_path / f"{Path(page).stem.replace('-', '_')}_page.py"
    program.write_text(_as_program(page))
    requires = {"DOLAMBDA_REQUIRES": _REQUIRES.get(page, "")}
    ran = programs.run(str(program), env={**environ, **requires}, cwd=tmp_path, timeout=150)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


@pytest.mark.parametrize(
    ("example", "line"),
    [
        ("loop.py", "1980"),
        ("executor.py", "3.14"),
        ("backends.py dolambda", "map       [0, 1, 7, 2, 5, 8, 16, 3, 19, 6]"),
    ],
)
def test_an_example_runs(example: str, line: str, environ: Mapping[str, str]) -> None:
    script, *arguments = example.split()
    assert line in _run([sys.executable, str(_ROOT / "examples" / script), *arguments], environ)
