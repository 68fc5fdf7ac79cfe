"""``dolambda logs``: the workers' log, without Lambda's own lines unless asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from dolambda.cli import options as given
from dolambda.cli.connect import connect
from dolambda.cli.log_entries import entries, since
from dolambda.cli.recorded_runs import run_in_log
from dolambda.errors import ConfigurationError
from dolambda.provision.deploy import names_of
from dolambda.stack import find_function
from dolambda.wording import count, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.cli.log_entries import Entry

_MINUTES = 60
_TEN_YEARS = 5_256_000  # minutes
_POLL_S = 2.0


@dataclass(frozen=True)
class Lines(given.Group):
    """The options that choose lines of the log."""

    run: Annotated[
        str | None,
        typer.Option(help="Only this run: its name, its id, or 'last'.", show_default=False),
    ] = None
    task: Annotated[
        int | None,
        typer.Option(
            callback=given.within(0), help="Only the task with this number.", show_default=False
        ),
    ] = None
    minutes: Annotated[
        int | None,
        typer.Option(
            callback=given.within(1, _TEN_YEARS),
            help="How far back, in minutes. Default: 60.",
            show_default=False,
        ),
    ] = None
    begin: Annotated[
        str | None,
        typer.Option("--since", help="90s, 30m, 2h or 3d ago, or a date.", show_default=False),
    ] = None
    everything: Annotated[bool, typer.Option("--all", help="Include Lambda's own lines.")] = False

    def start(self) -> datetime:
        """Return the time of the first line.

        Raises:
            ConfigurationError: It is given twice, or is not a time of the past.
        """
        if self.minutes is not None and self.begin is not None:
            raise ConfigurationError(
                "both --minutes and --since were given", hint="Give one of them."
            )
        now = datetime.now(UTC)
        if self.begin is not None:
            return since(self.begin, now)
        return now - timedelta(minutes=self.minutes or _MINUTES)

    def chosen(self, found: Iterator[Entry]) -> Iterator[Entry]:
        """Yield the lines that were asked for."""
        run = run_in_log(self.run) if self.run is not None else None
        for entry in found:
            if entry.is_of(run, self.task) and (self.everything or not entry.is_lambdas_own):
                yield entry


@given.grouped
def logs(
    *,
    lines: Lines,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    where: given.Where,
) -> None:
    """Show the workers' log: refused jobs, crashes, late replies."""
    start = lines.start()
    target = connect(**where.given())
    account, settings = target.account, target.settings
    find_function(
        account.client("lambda"), account.region, settings.stack, "Name another stack= or region=."
    )
    group = names_of(account, settings).log_group
    found = entries(account.client("logs"), group, start, follow=_POLL_S if follow else None)
    shown = 0
    try:
        for entry in lines.chosen(found):
            print(entry.to_json() if as_json else entry, flush=follow)
            shown += 1
    except KeyboardInterrupt:
        raise typer.Exit(0 if follow else 130) from None
    if not shown and not as_json:
        minutes = count(lines.minutes or _MINUTES, "minute")
        print(
            f"nothing since {moment(start.timestamp())}"
            if lines.begin is not None
            else f"nothing in the last {minutes}"
        )
