"""``dolambda plan``, ``deploy``, ``destroy``, ``policy``: make a stack, change it, remove it."""

from __future__ import annotations

import json
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dolambda.aws.account import Account, Credentials
from dolambda.cli import options as given
from dolambda.cli.connect import connect_to_deploy, connect_to_print, refuse_local
from dolambda.cli.round_trip import NotCheckedError, check_stack
from dolambda.environment.layer import Contents, table
from dolambda.environment.system_libraries import missing_libraries
from dolambda.provision import policies
from dolambda.provision.commands import commands as as_commands
from dolambda.provision.deploy import contents_of, names_of, resources
from dolambda.provision.deploy import deploy as apply_all
from dolambda.provision.deploy import destroy as remove_all
from dolambda.settings import Settings
from dolambda.wire.task import PYTHON
from dolambda.wording import count

if TYPE_CHECKING:
    from dolambda.provision.plan import Change

Commands = Annotated[
    bool,
    typer.Option("--commands", help="Print the same as AWS CLI commands; change nothing."),
]

Check = Annotated[
    bool,
    typer.Option("--check/--no-check", help="Run one task on the stack once it is deployed."),
]

console = Console(highlight=False, soft_wrap=True)


class Who(StrEnum):
    """The holder of a policy."""

    worker = "worker"
    submitter = "submitter"
    deployer = "deployer"


_POLICIES = {
    Who.worker: policies.worker,
    Who.submitter: policies.submitter,
    Who.deployer: policies.deployer,
}


def _show(change: Change) -> None:
    console.print(f"  [bold]{change.action}[/bold] ", end="")
    console.print(f"{change.what}: {change.why}", markup=False)


@given.grouped
def plan(
    where: given.Where,
    chosen: given.StackSettings,
    as_json: given.AsJson = False,
) -> None:
    """Show what deploy would change, and why. Change nothing."""
    target, contents = connect_to_deploy(**where.given(), **chosen.given())
    here = target.instance is not None
    changes = [
        change
        for part in resources(target.account, target.settings, here=here, contents=contents)
        for change in part.changes()
    ]
    if as_json:
        steps = [
            {"action": change.action, "what": change.what, "why": change.why} for change in changes
        ]
        console.print_json(json.dumps(steps))
        return
    for change in changes:
        _show(change)
    _show_sizes(contents, changes)
    if not here:
        _warn_of_missing(contents, target.settings)
    console.print(
        f"{count(len(changes), 'change')} to the stack {target.settings.stack} in {target.place}."
        if changes
        else "Nothing to change."
    )


@given.grouped
def deploy(
    where: given.OnAws,
    chosen: given.StackSettings,
    commands: Commands = False,
    check: Check = True,
) -> None:
    """Create or update the stack, and run one task on it. Running it again changes nothing."""
    settings = Settings.resolve(**where.given(), **chosen.given())
    refuse_local(settings)
    account = Account.from_settings(settings)
    contents = contents_of(settings, here=False)
    parts = resources(account, settings, here=False, contents=contents)
    _show_sizes(contents, [change for part in parts for change in part.changes()])
    _warn_of_missing(contents, settings)
    if commands:
        directory = Path(tempfile.mkdtemp(prefix="dolambda-zips-"))
        console.print("\n".join(as_commands(account, parts, directory)), markup=False)
        console.print(
            f"\n# The files that these commands name are in {directory}; remove it when done."
        )
        console.print(
            "# The environment among them holds the signing key, made for this stack alone. "
            "Keep it secret."
        )
        return
    made = apply_all(parts, _show)
    summary = count(made, "change") if made else "nothing had to be changed"
    console.print(f"The stack {settings.stack} is deployed in {account.region}: {summary}.")
    if check:
        _check(settings, account)


def _check(settings: Settings, account: Account) -> None:
    """Run one task on the stack."""
    try:
        trips = check_stack(settings, Credentials(session=account.session))
    except NotCheckedError as why:
        console.print(f"It was not checked with a task: {why}", markup=False)
    else:
        console.print(f"It works: {trips}.")


def _show_sizes(contents: Contents, changes: list[Change]) -> None:
    """Show the sizes of packages before they are uploaded."""
    if any(
        change.what.startswith(("layer", "bundle")) and change.action == "create"
        for change in changes
    ):
        console.print("Packages of the workers, unzipped:")
        for line in table(contents):
            console.print(f"    {line}")


def _warn_of_missing(contents: Contents, settings: Settings) -> None:
    """Warn of packages that need system libraries which Lambda's image lacks."""
    missing = missing_libraries(contents.packages, settings.runtime or f"python{PYTHON}")
    if not missing:
        return
    warnings = Console(stderr=True, highlight=False, soft_wrap=True)
    warnings.print(
        "Warning: Lambda's image lacks libraries of the system. Packages that need them fail on "
        "the workers:"
    )
    for one in missing:
        warnings.print(f"    {one}", markup=False)
    where = (
        "the layers of layers= bring them"
        if settings.layers
        else ("a layer of your own brings them")
    )
    warnings.print(
        f"  It works if {where}, under lib/. Or use a variant of the package that needs none, "
        "such as opencv-python-headless.",
        markup=False,
    )


@given.grouped
def destroy(
    where: given.OnAws,
    bucket: given.StackBucket = None,
    yes: given.Yes = False,
) -> None:
    """Remove all that deploy made, and nothing else."""
    settings = Settings.resolve(**where.given(), bucket=bucket)
    refuse_local(settings)
    account = Account.from_settings(settings)
    parts = resources(account, settings, here=False, contents=Contents())
    changes = [change for part in reversed(parts) for change in part.removal()]
    if not changes:
        console.print(f"There is no stack {settings.stack} in {account.region}.")
        return
    for change in changes:
        _show(change)
    if not yes:
        typer.confirm(f"Remove these from account {account.number}?", abort=True)
    remove_all(parts)
    console.print(f"The stack {settings.stack} is removed.")


@given.grouped
def policy(
    who: Annotated[Who, typer.Argument(help="Whose policy.")],
    where: given.Where,
    bucket: given.StackBucket = None,
) -> None:
    """Print an IAM policy as JSON, limited to the stack, its bucket and the account.

    Without credentials, ACCOUNT and REGION stand for yours.
    """
    target = connect_to_print(**where.given(), bucket=bucket)
    names = names_of(target.account, target.settings)
    console.print_json(json.dumps(_POLICIES[who](names)))
