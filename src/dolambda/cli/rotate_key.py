"""``dolambda rotate-key``: replace the key that signs jobs and replies, without downtime."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from dolambda.cli import options as given
from dolambda.cli.connect import connect
from dolambda.provision.rotate_key import Rotation

console = Console(highlight=False, soft_wrap=True)


@given.grouped
def rotate_key(
    where: given.Where,
    finish: Annotated[
        bool,
        typer.Option(
            "--finish",
            help="Drop the previous key. Sessions that still use it are refused.",
        ),
    ] = False,
) -> None:
    """Replace the signing key. Running sessions keep the previous one until --finish."""
    target = connect(**where.given())
    name = target.settings.stack
    rotation = Rotation(target.account, name)
    if not finish:
        rotation.rotate(lambda done: console.print(f"  {done}", markup=False))
        option = " --local" if target.instance else ""
        console.print(
            f"The stack {name} has a new key. Once older sessions have ended, run: "
            f"dolambda rotate-key --finish{option}"
        )
    elif rotation.finish():
        console.print(
            f"The stack {name} accepts its new key only. Sessions older than the rotation are "
            "refused."
        )
    else:
        console.print(f"The stack {name} has one key only: there is nothing to finish.")
