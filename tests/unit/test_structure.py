"""Sizes that a reader can hold: no long file, no long function, in src."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "dolambda"
FILES = sorted(SOURCES.rglob("*.py"))
FILE_LINES, FUNCTION_LINES = 450, 50


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None or first.end_lineno is None:
        return whole
    return whole - (first.end_lineno - first.lineno + 1)


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
    long = {f.name: lines_without_docstring(f) for f in functions}
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES} == {}
