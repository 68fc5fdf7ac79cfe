"""``dolambda logs``: what the workers' log says, Lambda's own lines left out unless asked for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from dolambda.aws.account import Account, translated
from dolambda.cli.stack import Endpoint, Name, Profile, Region
from dolambda.provision.deploy import names_of
from dolambda.settings import Settings
from dolambda.stack import Stack

_LAMBDAS_OWN = ("START ", "END ", "REPORT ", "INIT_START ")


def logs(
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    minutes: Annotated[int, typer.Option(help="How far back.")] = 60,
    everything: Annotated[
        bool, typer.Option("--all", help="With Lambda's own lines: start, end, report.")
    ] = False,
) -> None:
    """Show the workers' log: refused objects, crashes, answers that came too late."""
    settings = Settings.resolve(
        stack=stack, region=region, profile=profile, endpoint_url=endpoint_url
    )
    account = Account.from_settings(settings)
    Stack.from_account(account, settings)
    group, since = names_of(account, settings).log_group, int((time.time() - 60 * minutes) * 1000)
    shown = 0
    with translated():
        for page in (
            account.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=group, startTime=since)
        ):
            for event in page["events"]:
                if everything or not event["message"].startswith(_LAMBDAS_OWN):
                    print(_line(event))
                    shown += 1
    if not shown:
        print(f"nothing in the last {minutes} minutes")


def _line(event: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).astimezone()
    return f"{when:%H:%M:%S}  {event['message'].rstrip()}"
