"""Sizes that a reader can hold: no long file, no long function, in src."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "dolambda"
FILES = sorted(SOURCES.rglob("*.py"))
FILE_LINES, FUNCTION_LINES = 450, 50


# Public functions, whose docstrings have an entry for each of their many parameters.
DOCUMENTED_AT_LENGTH = {"foreach", "register", "map"}


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    if function.name not in DOCUMENTED_AT_LENGTH:
        return whole
    docstring = function.body[0]
    return whole - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def test_sources_are_found() -> None:
    assert SOURCES / "scheduler" / "state.py" in FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCES).as_posix())
def test_files_and_functions_are_short(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {f.name: lines(f) for f in functions}
    assert {name: count for name, count in long.items() if count > FUNCTION_LINES} == {}
