"""``dolambda logs``: the workers' log, without Lambda's own lines unless asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from dolambda.cli import options as given
from dolambda.cli.connect import connect
from dolambda.cli.log_entries import entries, since
from dolambda.errors import ConfigurationError
from dolambda.provision.deploy import names_of
from dolambda.stack import find_function
from dolambda.wording import count, moment

_MINUTES = 60
_TEN_YEARS = 5_256_000  # minutes
_POLL_S = 2.0


@given.grouped
def logs(
    where: given.Where,
    run: Annotated[
        str | None, typer.Option(help="Only lines about this run.", show_default=False)
    ] = None,
    task: Annotated[
        int | None,
        typer.Option(min=0, help="Only lines about the task with this number.", show_default=False),
    ] = None,
    minutes: Annotated[
        int | None,
        typer.Option(min=1, max=_TEN_YEARS, help="How far back. Default: 60.", show_default=False),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--since", help="Begin 30m, 2h or 3d ago, or at a date.", show_default=False),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Include Lambda's own lines: start, end, report.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show the workers' log: refused jobs, crashes, late replies."""
    if minutes is not None and begin is not None:
        raise ConfigurationError("both --minutes and --since were given", hint="Give one of them.")
    now = datetime.now(UTC)
    start = since(begin, now) if begin else now - timedelta(minutes=minutes or _MINUTES)
    target = connect(**where.given())
    account, settings = target.account, target.settings
    find_function(
        account.client("lambda"), account.region, settings.stack, "Name another stack= or region=."
    )
    group = names_of(account, settings).log_group
    shown = 0
    found = entries(account.client("logs"), group, start, follow=_POLL_S if follow else None)
    try:
        for entry in found:
            if entry.is_of(run, task) and (everything or not entry.is_lambdas_own):
                print(entry.to_json() if as_json else entry, flush=follow)
                shown += 1
    except KeyboardInterrupt:
        raise typer.Exit(0 if follow else 130) from None
    if not shown and not as_json:
        print(
            f"nothing since {moment(start.timestamp())}"
            if begin
            else f"nothing in the last {count(minutes or _MINUTES, 'minute')}"
        )
