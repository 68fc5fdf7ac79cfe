"""``dolambda local``: an emulated AWS that outlives the command, so that scripts need not each start their own."""

from __future__ import annotations

import sys

import typer

from dolambda.errors import LocalAwsError
from dolambda.local import cache
from dolambda.local.instance import SHARED, Instance
from dolambda.local.place import instances, sweep
from dolambda.local.stack import deploy_into
from dolambda.settings import Settings

local = typer.Typer(
    help="AWS emulated on this machine: start, status, stop, clean.", no_args_is_help=True
)


@local.command()
def start(
    workers: int | None = typer.Option(
        None, min=1, help="Most workers at a time; by default one a core, 2 at least."
    ),
    requires: list[str] | None = typer.Option(  # noqa: B008 - typer's way
        None,
        help="A package that workers need, such as scikit-learn; once for each. An unpinned one gets the version installed here.",
    ),
) -> None:
    """Start one and leave it running; `dolambda.register("local")` then uses it."""
    if Instance.find_shared():
        message = "it is running already"
        raise LocalAwsError(message, hint="`dolambda local stop` ends it.")
    instance = Instance.from_start(workers=workers, name=SHARED)
    try:
        deploy_into(
            instance,
            Settings.resolve(requires=tuple(requires) if requires else None),
            lambda change: print(f"  {change.action} {change.what}: {change.why}"),
        )
    except BaseException:  # Ctrl-C too: one without a stack is of no use
        instance.stop()
        raise
    print(
        f"AWS emulated at {instance.endpoint_url}, {instance.workers} workers. `dolambda local stop` ends it."
    )


@local.command()
def status() -> None:
    """Show whether one is running, who uses it, and what others there are."""
    shared = Instance.find_shared()
    if shared:
        print(
            f"running at {shared.endpoint_url}, {shared.workers} workers, Python {shared.python}"
            f"{_used_by(shared.clients())}"
        )
    else:
        print("not running")
    for directory in instances():
        if directory.name != SHARED:
            print(f"  embedded in process {directory.name.split('-')[0]}: {directory}")


@local.command()
def stop(
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask, though programs use it."),
) -> None:
    """End the one that is running, and clean up after any whose process was killed."""
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
        f"cleaned up after {len(swept)} that had been killed"
        if swept
        else "nothing is left"
        if shared
        else "none was running"
    )


@local.command()
def clean() -> None:
    """Remove the packages that are kept between sessions so that the next one starts fast."""
    freed, used = cache.clean()
    kept = "" if not used else f", {used} in use left" if used > 1 else ", 1 in use left"
    print(f"{freed / 2**20:,.0f} MiB removed from {cache.home()}{kept}")


def _used_by(clients: list[int]) -> str:
    """Return a clause on the processes that use an instance, one for each session."""
    if not clients:
        return ""
    processes = sorted(set(clients))
    many = "1 program" if len(processes) == 1 else f"{len(processes)} programs"
    ids = ", ".join(map(str, processes))
    return f" by {many} (process{'es' if len(processes) > 1 else ''} {ids})"
