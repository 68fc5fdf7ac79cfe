"""``dolambda config`` and ``dolambda init``: show the settings, and write some into a file.

**Input:** variables and the nearest pyproject.toml. **Output:** each setting with its value and its
source, or a table [tool.dolambda] at the end of pyproject.toml, with the rest unchanged.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dolambda.aws.account import credentials_of, translated
from dolambda.cli import options as given
from dolambda.errors import ConfigurationError, DolambdaError
from dolambda.project_file import nearest_file
from dolambda.settings import Settings
from dolambda.wording import yes_no

_EXAMPLES = (  # common first settings, with a comment
    ("stack", '"dolambda"', "its name; everything deployed is named after it"),
    ("region", '"us-east-1"', "default: the one of `aws configure`"),
    ("memory", "1769", "MB of a worker; 1769 is one vCPU"),
    ("timeout", "300", "seconds of one invocation, at most 900"),
    ("workers", "100", "at a time"),
    ("budget", "1.00", "dollars that one run may cost"),
)


def config(as_json: given.AsJson = False) -> None:
    """Show each setting, its value and where it comes from."""
    settings, origins = Settings.resolve(), Settings.origins()
    file = nearest_file()
    if as_json:
        facts = {
            field.name: {"value": getattr(settings, field.name), "from": origins[field.name]}
            for field in fields(Settings)
        }
        found = {"settings": facts, "project_file": file and str(file), "aws": _aws(settings)}
        print(json.dumps(found, indent=2))
        return
    table = Table("setting", "value", "from", box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.overflow = "fold"
    for field in fields(Settings):
        name = field.name
        origin = "[dim]default[/dim]" if origins[name] == "default" else _plain(origins[name])
        table.add_row(name, _plain(_shown(getattr(settings, name))), origin)
    for name, (value, origin) in _aws(settings).items():
        table.add_row(f"AWS {name}", _plain(value), _plain(origin))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\nProject file: {file or 'none (`dolambda init` writes one)'}", markup=False)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(none)"
    if isinstance(value, bool):
        return yes_no(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _aws(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return region and credentials as boto3 finds them, and the source of the credentials."""
    import boto3  # noqa: PLC0415 - 0.4 s, not paid by the other commands

    try:
        with translated():
            session = boto3.Session(region_name=settings.region, profile_name=settings.profile)
        found = credentials_of(session)
    except DolambdaError as error:
        return {"credentials": ("unusable", str(error).splitlines()[0])}
    return {
        "region": (session.region_name or "none", "dolambda" if settings.region else "AWS"),
        "credentials": ("found", found.method) if found else ("none", "AWS"),
    }


def init(
    stack: given.NameOnAws = None,
    region: given.Region = None,
    memory: given.Memory = None,
    timeout: given.Timeout = None,
    workers: given.Workers = None,
    budget: Annotated[
        float | None, typer.Option(help="Dollars that one run may cost.", show_default=False)
    ] = None,
) -> None:
    """Write a table tool.dolambda into pyproject.toml, with the settings given here."""
    chosen: dict[str, Any] = {
        "stack": stack,
        "region": region,
        "memory": memory,
        "timeout": timeout,
    }
    chosen |= {"workers": workers, "budget": budget}
    Settings.resolve(environ={}, directory=Path("/"), **chosen)
    file = nearest_file() or Path.cwd() / "pyproject.toml"
    added = add_table(file, {name: value for name, value in chosen.items() if value is not None})
    print(f"wrote [tool.dolambda] into {file}:\n")
    print(added)


def add_table(file: Path, values: dict[str, Any]) -> str:
    """Append the table to a file, or create the file. Return the text of the table.

    Raises:
        ConfigurationError: The file has such a table, is not valid TOML or cannot be written.
    """
    try:
        before = file.read_bytes().decode("utf-8-sig") if file.exists() else ""
        if "dolambda" in tomllib.loads(before).get("tool", {}):
            raise ConfigurationError(
                f"{file} has a table [tool.dolambda]",
                hint="Edit it there. `dolambda config` shows what is in effect.",
            )
        table = _table(before, values)
        gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
        newline = "\r\n" if "\r\n" in before else "\n"
        with file.open("a", encoding="utf-8", newline=newline) as end:
            end.write(gap + table)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"{file} is not TOML that a table [tool.dolambda] can follow: {error}",
            hint="Correct it first. Nothing was written.",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be written: {error.strerror}",
            hint="Run the command in a directory that you can write to.",
        ) from error
    return table


def _table(before: str, values: dict[str, Any]) -> str:
    """Return the table, after a check that it has these values at the end of the file."""
    lines = ["[tool.dolambda]", *(_line(*example, values) for example in _EXAMPLES)]
    table = "\n".join(lines) + "\n"
    if tomllib.loads(f"{before}\n{table}")["tool"]["dolambda"] != values:
        raise TypeError("it would belong to another table")
    return table


def _line(name: str, example: str, comment: str, values: dict[str, Any]) -> str:
    if name not in values:
        return f"# {name} = {example}  # {comment}"
    value = values[name]
    return f"{name} = {json.dumps(value)}  # {comment}"
