"""No code block of README and the documentation goes unchecked.

Python runs (`test_snippets`), notebooks are executed by `make docs`, R runs in
`integration/test_r_package.py`. Here: every command line is one that the programs accept, settings
are those that exist, and what is left is listed with the reason.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import typer

from dolambda.cli import app
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(dolambda [^`]+)`")
_ELSEWHERE = {
    "python": "tests/docs/test_snippets.py runs them",
    "{code-cell} ipython3": "make docs executes notebooks, and a failing cell fails it",
}
_R_THAT_RUNS = {"README.md", "docs/guides/r.md"}  # tests/integration/test_r_package.py
_NOT_RUN = {
    ("docs/guides/foreach.md", "library(doParallel)"): "R's own form, to compare with",
    ("docs/guides/costs.md", "text"): "output, to be read",
    ("docs/internals/wire-format.md", "text"): "layout of bytes, to be read",
    ("docs/tutorials/first-deploy.md", "dolambda.register()"): "needs an account",
}
_COMMANDS = {  # programs of others, each with what is known of it
    "aws": "needs an account",
    "git": "needs the network",
    "pip": "tests/docs/test_project_files.py compares the wheel's name",
    "python": "the program is a snippet of the page",
    "python3": "python3 -m venv",
    "cd": "into the clone",
    "eval": "the shell's own",
    "$compile": "uv pip compile, in a variable",
    ".": "activates the environment",
    "export": "sets variables",
    ".venv/bin/pytest": "the files are compared below",
}


class _Block(NamedTuple):
    page: str
    language: str
    text: str


def _pages() -> Iterator[tuple[str, str]]:
    for path in (*sorted(_ROOT.glob("*.md")), *sorted((_ROOT / "docs").rglob("*.md"))):
        if not {"_build", "generated", "jupyter_execute"} & set(path.parts):
            yield str(path.relative_to(_ROOT)), path.read_text()


def _blocks() -> list[_Block]:
    return [
        _Block(page, match[2].strip(), match[3])
        for page, text in _pages()
        for match in _FENCE.finditer(text)
    ]


def _is_directive(block: _Block) -> bool:
    return block.language.startswith("{") and block.language not in _ELSEWHERE


def _is_listed(block: _Block) -> bool:
    return any(
        page == block.page and (block.text.startswith(begin) or begin == block.language)
        for page, begin in _NOT_RUN
    )


def test_every_code_block_is_checked_or_listed_with_the_reason() -> None:
    checked = {*_ELSEWHERE, "sh", "toml"}
    found = [
        block
        for block in _blocks()
        if block.language not in checked
        and not _is_directive(block)
        and not (block.language == "r" and block.page in _R_THAT_RUNS)
        and not _is_listed(block)
    ]
    assert found == []


def test_nothing_is_listed_that_does_not_exist() -> None:
    blocks = _blocks()
    for page, begin in _NOT_RUN:
        assert any(
            block.page == page and (block.text.startswith(begin) or block.language == begin)
            for block in blocks
        ), (page, begin)


def _shell_lines() -> Iterator[tuple[str, str]]:
    """Yield each page with each command of its shell blocks, without comments."""
    for block in _blocks():
        if block.language != "sh":
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            for command in re.split(r"\s&&\s", re.sub(r"\s*(?<!\S)#.*", "", line)):
                if command.strip():
                    yield block.page, command.strip()


def _dolambda_lines() -> list[Any]:
    lines = {each for each in _shell_lines() if each[1].startswith("dolambda ")}
    lines |= {
        (page, command)
        for page, text in _pages()
        if page != "CHANGELOG.md"  # it names commands of the past
        for command in _INLINE.findall(text)
    }
    return [pytest.param(line, id=f"{page}: {line}") for page, line in sorted(lines)]


@pytest.mark.parametrize("line", _dolambda_lines())
def test_a_command_line_of_dolambda_is_accepted(line: str) -> None:
    _, *words = shlex.split(line)
    command: Any = typer.main.get_command(app)
    context = command.make_context("dolambda", [], resilient_parsing=True)
    while words and (inner := getattr(command, "commands", {})):
        if words[0].startswith("-"):
            assert words[0] in {option for part in command.params for option in part.opts}
            return
        assert words[0] in inner, f"there is no command {words[0]!r}"
        command = inner[words.pop(0)]
        context = command.make_context(
            command.name, [], parent=context, ignore_unknown_options=True, resilient_parsing=True
        )
    known = {option for part in command.params for option in (*part.opts, *part.secondary_opts)}
    if "allow_interspersed_args" not in (command.context_settings or {}):
        given = [word.partition("=")[0] for word in words if word.startswith("-")]
        assert [option for option in given if option not in known] == []


def test_the_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (_ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for _, line in _shell_lines()
        if line.startswith("make ")
        for target in re.sub(r"\s-C \S+", "", line).split()[1:]
        if "=" not in target
    }
    named |= {
        target
        for _, text in _pages()
        for line in re.findall(r"`make ([^`=]+)`", text)
        for target in line.split()
        if "=" not in target and "|" not in target
    }
    named |= {
        target
        for workflow in (_ROOT / ".github" / "workflows").glob("*.yml")
        for line in re.findall(r"run: make (.+)", workflow.read_text())
        for target in re.sub(r"\$\{\{ matrix\.versions \}\}", "newest", line).split()
    }
    assert len(named) > 10
    assert named - targets == set()


def test_other_programs_are_known() -> None:
    found = {
        (page, program)
        for page, line in _shell_lines()
        for program in [word for word in shlex.split(line) if not re.match(r"\w+=", word)][:1]
    }
    known = {"dolambda", "make", *_COMMANDS}
    assert [each for each in sorted(found) if each[1] not in known] == []
    assert set(_COMMANDS) - {program for _, program in found} == set()


def test_the_settings_of_a_project_file_exist() -> None:
    names = {field.name for field in fields(Settings)}
    tables = [tomllib.loads(block.text) for block in _blocks() if block.language == "toml"]
    assert tables
    for table in tables:
        assert set(table["tool"]["dolambda"]) <= names


def test_the_test_files_that_pages_name_exist() -> None:
    named = {
        (page, file)
        for page, text in _pages()
        for file in re.findall(r"\.venv/bin/pytest (tests/\S*?)[`\s]", text)
    }
    assert named
    assert [each for each in named if not (_ROOT / each[1]).exists()] == []
