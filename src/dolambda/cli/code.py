"""``dolambda code``: the user's own modules that are sent with a program's tasks."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dolambda.environment.code import LIMIT, CodeFiles, collect, size_of
from dolambda.errors import ConfigurationError, TooLargeError
from dolambda.settings import Settings
from dolambda.wire.imports import imports_of
from dolambda.wording import count

_MAGIC = ("%", "!", "?")
_NOTHING = (
    "No files are sent: the program imports no module of your own. Its own functions are sent "
    "inside the tasks."
)


def code(
    program: Annotated[
        str,
        typer.Argument(help="A script, a notebook, or the name of a module.", show_default=False),
    ],
    include_code: Annotated[
        list[str] | None,
        typer.Option(
            help="An installed module that is sent too. Repeat it for each.", show_default=False
        ),
    ] = None,
    exclude_code: Annotated[
        list[str] | None,
        typer.Option(
            help="A module or pattern that is not sent. Repeat it for each.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")] = False,
) -> None:
    """List your own code that is sent with a program's tasks, without running it."""
    settings = Settings.resolve(
        include_code=tuple(include_code) if include_code else None,
        exclude_code=tuple(exclude_code) if exclude_code else None,
    )
    sys.path.insert(0, str(Path(program).parent if _is_file(program) else Path.cwd()))
    files = collect(
        {}, names=_names(program), include=settings.include_code, exclude=settings.exclude_code
    )
    zipped, refusal = _zipped_size(files)
    sizes = {place: size_of(content) for place, content in files.entries.items()}
    if as_json:
        facts = {"travels": sizes, "left_out": files.left_out, "zipped": zipped, "limit": LIMIT}
        print(json.dumps(facts, indent=2))
    else:
        _show(sizes, files.left_out, zipped)
    if refusal:
        raise refusal


def _is_file(program: str) -> bool:
    return program.endswith((".py", ".ipynb")) or Path(program).is_file()


def _names(program: str) -> frozenset[str]:
    """Return the modules that a program imports, found in its text."""
    if not _is_file(program):
        _refuse_unknown(program)
        return frozenset({program})
    try:
        text = Path(program).read_text(encoding="utf-8-sig")
        if program.endswith(".ipynb"):
            text = _cells(text)
        return imports_of(compile(text, program, "exec", dont_inherit=True))
    except (OSError, SyntaxError, ValueError, KeyError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"{program!r} cannot be read as a program: {why}",
            hint="Name a Python script, a notebook (.ipynb), or a module.",
        ) from error


def _refuse_unknown(module: str) -> None:
    """Raise `ConfigurationError` for a module that cannot be found."""
    try:
        found = importlib.util.find_spec(module.partition(".")[0])
    except ValueError:  # it has no specification, like __main__
        found = None
    if found is None:
        raise ConfigurationError(
            f"there is neither a file nor a module {module!r}",
            hint="Name a Python script, a notebook (.ipynb), or a module.",
        )


def _cells(notebook: str) -> str:
    cells = json.loads(notebook)["cells"]
    lines = [
        line
        for cell in cells
        if cell["cell_type"] == "code"
        for line in "".join(cell["source"]).splitlines()
    ]
    return "\n".join("pass" if line.startswith(_MAGIC) else line for line in lines)


def _zipped_size(files: CodeFiles) -> tuple[int | None, TooLargeError | None]:
    try:
        archive = files.archive()
    except TooLargeError as error:
        return None, error
    return len(archive.data) if archive else 0, None


def _show(sizes: dict[str, int], left_out: dict[str, str], zipped: int | None) -> None:
    for place, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        print(f"{size:>14,}  {place}")
    total = f"{count(len(sizes), 'file')}, {count(sum(sizes.values()), 'byte')}"
    if zipped is not None:
        total += f", {zipped:,} zipped; at most {LIMIT:,} can be sent"
    print(f"{total}." if sizes or left_out else _NOTHING)
    if left_out:
        print("Not sent:")
        for place, reason in sorted(left_out.items()):
            print(f"  {place}: {reason}")
