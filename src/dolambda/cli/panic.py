"""``dolambda panic`` and ``dolambda panic --undo``: stop a stack that runs away, at once; and start it again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from dolambda.aws.account import Account
from dolambda.cli.stack import Endpoint, Name, Profile, Region
from dolambda.provision.panic import MARK, Panic
from dolambda.settings import Settings

console = Console(highlight=False, soft_wrap=True)


def panic(
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    undo: Annotated[bool, typer.Option("--undo", help="Put back what was there before.")] = False,
) -> None:
    """Stop the stack now: nothing new runs, the queue is emptied. Asks nothing; a second time changes nothing."""
    settings = Settings.resolve(
        stack=stack, region=region, profile=profile, endpoint_url=endpoint_url
    )
    found = Panic(Account.from_settings(settings), settings.stack)
    if undo:
        _undo(found, settings.stack)
        return
    found.begin(lambda done: console.print(f"  {done}", markup=False))
    console.print(
        f"The stack {settings.stack} is stopped. What was there before is in the function's tag {MARK}."
    )
    console.print(
        f"Still billed: invocations under way, for {found.timeout} s more at most (those of the queue stop by themselves some seconds "
        "after their jobs are gone), and the storage of what is in the bucket."
    )
    console.print(
        "Clients that still run send their jobs again, in vain: end them. To go on: dolambda panic --undo"
    )


def _undo(found: Panic, name: str) -> None:
    if found.undo(lambda done: console.print(f"  {done}", markup=False)):
        console.print(
            f"The stack {name} is as it was before. The jobs removed are gone: their clients send them again, or have given up."
        )
    else:
        console.print(f"The stack {name} is not in panic: nothing was changed.")
    if found.reserved == 0:
        console.print(
            "Its reserved concurrency is 0 all the same, set by someone else: `dolambda deploy` sets it as your settings say."
        )
