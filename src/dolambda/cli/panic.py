"""``dolambda panic`` and ``dolambda panic --undo``: stop a stack at once, and start it again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from dolambda.cli import options as given
from dolambda.cli.connect import connect
from dolambda.provision.panic import MARK, Panic
from dolambda.wording import duration

console = Console(highlight=False, soft_wrap=True)


@given.grouped
def panic(
    where: given.Where,
    undo: Annotated[bool, typer.Option("--undo", help="Start the stack again.")] = False,
) -> None:
    """Stop the stack at once and empty its queue. Ask nothing."""
    target = connect(**where.given())
    name = target.settings.stack
    found = Panic(target.account, name)
    if undo:
        _undo(found, name)
        return
    found.begin(lambda done: console.print(f"  {done}", markup=False))
    console.print(
        f"The stack {name} is stopped. Its previous state is in the function's tag {MARK}."
    )
    if target.instance is None:
        console.print(
            f"Running invocations are billed for at most {duration(found.timeout)} more. "
            "Those of the queue stop within seconds. The bucket's storage is billed too."
        )
    console.print(
        "Running clients will keep resending their jobs: stop them. "
        f"To resume: dolambda panic --undo{' --local' if target.instance else ''}"
    )


def _undo(found: Panic, name: str) -> None:
    if found.undo(lambda done: console.print(f"  {done}", markup=False)):
        console.print(
            f"The stack {name} is as it was before the panic. Clients that still run resend the "
            "removed jobs."
        )
    else:
        console.print(f"The stack {name} is not in panic: nothing was changed.")
    if found.reserved == 0:
        console.print(
            "Its reserved concurrency is 0 all the same, set by someone else. "
            "`dolambda deploy` sets it as your settings say."
        )
