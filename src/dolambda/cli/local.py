"""``dolambda local``: an emulated AWS that outlives the command, for many scripts."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from typing import Annotated

import typer

from dolambda.cli import options as given
from dolambda.cli.connect import LOCAL, choose_local, running_instance
from dolambda.errors import LocalAwsError
from dolambda.local import cache
from dolambda.local.instance import REGION, SHARED, Instance
from dolambda.local.place import instances, sweep
from dolambda.local.stack import deploy_into
from dolambda.settings import Settings
from dolambda.wording import count

local = typer.Typer(help="Start and stop an emulated AWS on this machine.", no_args_is_help=True)


@local.command()
def start(
    workers: int | None = typer.Option(
        None,
        callback=given.within(1),
        help="Maximum number of workers. Default: one for each core, at least 2.",
    ),
    requires: list[str] | None = typer.Option(  # noqa: B008 - typer's convention
        None,
        help="A package that workers need, such as scikit-learn. Repeat it for each. "
        "Default: all that are installed locally.",
    ),
    sandbox: bool = typer.Option(
        False,
        "--sandbox",
        help="Confine workers as Lambda does: read-only but for /tmp, with their memory, and CPU "
        "in "
        "proportion to it. It needs bubblewrap.",
    ),
) -> None:
    """Start an emulated AWS and leave it running. `dolambda.register("local")` then uses it."""
    if Instance.find_shared():
        raise LocalAwsError(
            "the emulated AWS is already running", hint="`dolambda local stop` ends it."
        )
    settings = Settings.resolve(requires=tuple(requires) if requires else None)
    instance = Instance.from_start(workers=workers, name=SHARED, sandbox=sandbox, limit_cpu=sandbox)
    try:
        deploy_into(
            instance,
            settings,
            lambda change: print(f"  {change.action} {change.what}: {change.why}"),
        )
    except BaseException:  # Ctrl-C too: it is useless without a stack
        instance.stop()
        raise
    print(
        f"AWS is emulated at {instance.endpoint_url} with {count(instance.workers, 'worker')}. "
        "`dolambda local stop` ends it."
    )


@local.command()
def status() -> None:
    """Show the running emulated AWS, and the programs that use it."""
    shared = Instance.find_shared()
    if shared:
        print(
            f"running at {shared.endpoint_url}, {count(shared.workers, 'worker')}, Python "
            f"{shared.python}"
            f"{_used_by(shared.clients())}"
        )
    else:
        print("not running")
    for directory in instances():
        if directory.name != SHARED:
            print(f"  embedded in process {directory.name.split('-')[0]}: {directory}")


@local.command()
def env(
    stack: Annotated[
        str | None,
        typer.Option("--stack", help="Name of the stack, if it has several.", show_default=False),
    ] = None,
) -> None:
    """Print shell commands that make other programs use the running emulated AWS.

    Use it as: eval "$(dolambda local env)". The keys are of no use anywhere else.
    """
    instance = running_instance()
    settings = Settings.resolve(stack=stack)
    if settings.stack == LOCAL:
        settings = replace(settings, stack=Settings.stack)
    values = {
        "AWS_ACCESS_KEY_ID": instance.key,
        "AWS_SECRET_ACCESS_KEY": instance.secret,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": instance.endpoint_url,
        "DOLAMBDA_ENDPOINT_URL": instance.endpoint_url,
        "DOLAMBDA_STACK": choose_local(instance, settings),
    }
    print("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_REGION DOLAMBDA_PROFILE DOLAMBDA_REGION")
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")


@local.command()
def stop(
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask, though programs use it."),
) -> None:
    """Stop the emulated AWS that is running, and clean up after killed ones."""
    shared = Instance.find_shared()
    if shared:
        clients = shared.clients()
        if clients:
            print(f"the emulated AWS is in use{_used_by(clients)}, whose tasks will fail")
            if not yes and sys.stdin.isatty():
                typer.confirm("Stop it?", abort=True)
        shared.stop()
        print("stopped")
    swept = sweep()
    print(
        f"cleaned up after {count(len(swept), 'killed emulator')}"
        if swept
        else "nothing is left"
        if shared
        else "none was running"
    )


@local.command()
def clean() -> None:
    """Remove the packages that are kept between sessions for fast starts."""
    freed, used = cache.clean()
    kept = "" if not used else f", {used} in use left" if used > 1 else ", 1 in use left"
    print(f"{freed / 2**20:,.0f} MiB removed from {cache.home()}{kept}")


def _used_by(clients: list[int]) -> str:
    """Return a clause on the processes that use an instance, one for each session."""
    if not clients:
        return ""
    processes = sorted(set(clients))
    many = count(len(processes), "program")
    ids = ", ".join(map(str, processes))
    return f" by {many} (process{'es' if len(processes) > 1 else ''} {ids})"
