"""``dolambda rotate-key`` and ``dolambda rotate-key --finish``: replace the key that signs jobs and replies, without downtime."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from dolambda.aws.account import Account
from dolambda.cli.stack import Endpoint, Name, Profile, Region
from dolambda.provision.rotate_key import Rotation
from dolambda.settings import Settings

console = Console(highlight=False, soft_wrap=True)


def rotate_key(
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    finish: Annotated[
        bool,
        typer.Option(
            "--finish", help="Drop the key before: sessions that still use it are refused."
        ),
    ] = False,
) -> None:
    """Replace the signing key. Runs under way go on with the old one, until --finish or the next rotation."""
    settings = Settings.resolve(
        stack=stack, region=region, profile=profile, endpoint_url=endpoint_url
    )
    rotation = Rotation(Account.from_settings(settings), settings.stack)
    if not finish:
        rotation.rotate(lambda done: console.print(f"  {done}", markup=False))
        console.print(
            f"The stack {settings.stack} has a new key. Once older sessions have ended: dolambda rotate-key --finish"
        )
    elif rotation.finish():
        console.print(
            f"The stack {settings.stack} accepts its new key only; sessions older than the rotation are refused."
        )
    else:
        console.print(f"The stack {settings.stack} has one key only: there is nothing to finish.")
