"""Write the reference pages of settings, variables, commands and errors from the code.

Generated pages cannot drift from it.

**Input:** `Settings`, the typer application, `dolambda.errors`. **Output:** Markdown in
reference/generated/, which the pages beside it include.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dolambda import errors, settings
from dolambda.cli import app as commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("builder-inited", _write_all)
    return {"parallel_read_safe": True}


def _write_all(app: Sphinx) -> None:
    directory = Path(app.srcdir, "reference", "generated")
    directory.mkdir(exist_ok=True)
    pages = {
        "settings": _settings(),
        "environment": _environment(),
        "cli": _cli(),
        "errors": _errors(),
    }
    for name, lines in pages.items():
        text = "\n".join(lines) + "\n"
        page = directory / f"{name}.md"
        if not page.exists() or page.read_text() != text:  # else Sphinx would build it again
            page.write_text(text)


def _settings() -> Iterator[str]:
    documented = _attribute_docstrings(settings.Settings)
    for field in fields(settings.Settings):
        shown = _default(field)
        rule = settings.RULES.get(field.name)
        yield f"(setting-{field.name})="
        yield f"`{field.name}`"
        yield f": {documented.get(field.name, '').replace('``', '`')}"
        yield ""
        if rule:
            yield f"  Value: {rule.says}."
        yield f"  Default: `{shown}`. Variable: `DOLAMBDA_{field.name.upper()}`."
        yield ""


def _environment() -> Iterator[str]:
    """Yield a table of the variables of all settings."""
    yield "| variable | value | default |"
    yield "|---|---|---|"
    for field in fields(settings.Settings):
        value = settings.RULES[field.name].says.replace("|", "\\|")
        variable = f"[`DOLAMBDA_{field.name.upper()}`](#setting-{field.name})"
        yield f"| {variable} | {value} | `{_default(field)}` |"


def _default(field: Field[Any]) -> object:
    default = None if field.default is MISSING else field.default
    return "[]" if default == () else f'"{default}"' if isinstance(default, str) else default


def _attribute_docstrings(cls: type) -> dict[str, str]:
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for node, following in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[node.target.id] = inspect.cleandoc(str(following.value.value))
    return found


def _cli() -> Iterator[str]:
    command = typer.main.get_command(commands)
    yield from _command(command, "dolambda", level=2)


def _command(command: Any, name: str, level: int) -> Iterator[str]:
    if level > 2:  # noqa: PLR2004 - the command itself has the page's title
        yield f"({name.replace(' ', '-')})="
        yield f"{'#' * (level - 1)} `{name}`\n"
    yield _as_prose(command.help) + "\n"
    arguments = [part for part in command.params if part.param_type_name == "argument"]
    options = [part for part in command.params if part.param_type_name == "option"]
    usage = [name, *(_usage(part) for part in arguments), "[OPTIONS]" if options else ""]
    if not getattr(command, "commands", None):
        yield f"```text\n{' '.join(filter(None, usage))}\n```\n"
    for part in arguments:
        yield f"`{_usage(part)}`\n: {getattr(part, 'help', None) or '.'}\n"
    for part in options:
        if part.name == "help" or getattr(part, "hidden", False):
            continue
        yield f"`{', '.join([*part.opts, *part.secondary_opts])}`\n: {_as_prose(part.help)}\n"
    for child, inner in getattr(command, "commands", {}).items():
        yield from _command(inner, f"{name} {child}", level + 1)


def _as_prose(text: str | None) -> str:
    """Return a help text with its options as code. Else their dashes become one."""
    parts = inspect.cleandoc(text or "").replace("``", "`").split("`")
    parts[::2] = [re.sub(r"(?<!\S)--[a-z][a-z-]*", r"`\g<0>`", prose) for prose in parts[::2]]
    return "`".join(parts)


def _usage(part: Any) -> str:
    name = part.name.upper() + ("..." if part.nargs != 1 else "")
    return name if part.required else f"[{name}]"


def _errors() -> Iterator[str]:
    yield "```text"
    yield from _tree(errors.DolambdaError, "")
    yield "```\n"
    for cls in _classes(errors.DolambdaError):
        yield f"```{{eval-rst}}\n.. autoexception:: dolambda.errors.{cls.__name__}\n```\n"


def _own(cls: type) -> list[type]:
    return [child for child in cls.__subclasses__() if child.__module__ == errors.__name__]


def _classes(cls: type) -> Iterator[type]:
    yield cls
    for child in _own(cls):
        yield from _classes(child)


def _tree(cls: type, indent: str) -> Iterator[str]:
    others = [base.__name__ for base in cls.__bases__ if base.__module__ == "builtins" and indent]
    yield f"{indent}{cls.__name__}{' (' + ', '.join(others) + ')' if others else ''}"
    for child in _own(cls):
        yield from _tree(child, indent + "    ")
