"""``dolambda runs``: what named runs have left in the bucket. They are begun with ``run=`` of an executor, or of joblib's options."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cloudpickle
import typer
from rich.console import Console
from rich.table import Table

from dolambda.aws.account import Account, translated
from dolambda.aws.objects import Bucket
from dolambda.cli.stack import Endpoint, Name, Profile, Region
from dolambda.errors import ConfigurationError
from dolambda.named_runs import NamedRun, check_name, names
from dolambda.settings import Settings
from dolambda.stack import Stack
from dolambda.wire.outcome import Value

if TYPE_CHECKING:
    from dolambda.named_runs import Record

runs = typer.Typer(
    help="Named runs: what they have left, and what to do with it; alone, it lists them."
)

RunName = Annotated[str, typer.Argument(help="The name that was given as run=.", metavar="RUN")]


def _bucket(
    stack: str | None, region: str | None, profile: str | None, endpoint_url: str | None
) -> tuple[Bucket, bytes]:
    settings = Settings.resolve(
        stack=stack, region=region, profile=profile, endpoint_url=endpoint_url
    )
    account = Account.from_settings(settings)
    found = Stack.from_account(account, settings)
    with translated():
        return Bucket.from_account(account, found.bucket), found.key


def _run(name: str, bucket: Bucket, key: bytes) -> NamedRun:
    if check_name(name) not in names(bucket):
        raise ConfigurationError(
            f"there is no run {name!r} in s3://{bucket.name}",
            hint="`dolambda runs list` shows those that there are; they expire a week after their last reply.",
        )
    return NamedRun(name, bucket, key)


@runs.callback(invoke_without_command=True)
def alone(context: typer.Context) -> None:
    """Named runs: what they have left, and what to do with it; alone, it lists them."""
    if context.invoked_subcommand is None:
        list_()


@runs.command(name="list")
def list_(
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """List the runs that have left something."""
    bucket, key = _bucket(stack, region, profile, endpoint_url)
    table = Table(
        "run",
        "begun",
        "last heard of",
        "tasks",
        "done",
        "replies",
        "jobs left",
        box=None,
        header_style="bold",
    )
    for name in names(bucket):
        run = NamedRun(name, bucket, key)
        record, replies, jobs = run.record(), len(run.reply_keys()), len(run.jobs())
        tasks, done = (
            (f"{record.tasks:,}", f"{record.done + record.failed:,}")
            if record and record.over
            else ("", "unfinished")
        )
        table.add_row(
            name,
            _when(record, "begun"),
            _when(record, "changed"),
            tasks,
            done,
            f"{replies:,}",
            f"{jobs:,}",
        )
    if table.row_count:
        Console().print(table)
    else:
        print('no named runs: LambdaExecutor(run="nightly-17") begins one')


@runs.command()
def show(
    name: RunName,
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Show how far a run is, and how to go on with it."""
    bucket, key = _bucket(stack, region, profile, endpoint_url)
    run = _run(name, bucket, key)
    record, there = run.record(), run.reply_keys()
    outcomes = [outcome for reply in run.replies(there) for outcome in reply.outcomes]
    kinds = Counter({one.task: one.kind for one in outcomes if one.kind != "lost"}.values())
    lost = sum(one.kind == "lost" for one in outcomes)
    print(
        f"{name}: {kinds['value']:,} tasks gave a value, {kinds['failure']:,} raised, {lost:,} were lost and will be run again"
    )
    print(
        f"  {len(there):,} replies in s3://{bucket.name}, {len(run.jobs()):,} jobs under way or waiting"
    )
    if record:
        print(
            f"  begun {_when(record, 'begun')} on {record.host}, last heard of {_when(record, 'changed')}"
        )
    if record and record.over:
        print(
            f"  its last client came to its end: {record.done:,} done, {record.failed:,} failed, of {record.tasks:,}"
        )
    else:
        print(
            "  it has not come to its end: start the same program again, and only what has no reply yet is sent"
        )
    if record and record.script:
        print(
            f"  that is {Path(record.directory, record.script)}; `dolambda runs resume {name}` starts it"
        )


@runs.command()
def fetch(
    name: RunName,
    to: Annotated[Path, typer.Option(help="Where to put them; default: RUN.pickle.")] = Path(),
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Fetch the results that there are into a file: a pickled dict of result, or exception, by the task's number in its last start."""
    file = _writable(Path(f"{name}.pickle") if to == Path() else to)
    bucket, key = _bucket(stack, region, profile, endpoint_url)
    found = _run(name, bucket, key).results()
    results = {}
    for index, packed in found.outcomes.items():
        outcome = packed.open()
        results[index] = outcome.value if isinstance(outcome, Value) else outcome.to_error()
    try:
        file.write_bytes(cloudpickle.dumps(results))
    except OSError as error:
        raise ConfigurationError(
            f"--to {str(file)!r} cannot be written: {error.strerror}",
            hint="Name a file in a folder that exists and that you may write to.",
        ) from error
    print(f"{len(results):,} results are in {file}: pickle.load returns them by number")
    if found.others:
        print(
            f"{found.others:,} results of earlier starts are not in it: the last start has not come to their tasks"
        )


def _writable(file: Path) -> Path:
    """Refuse, before anything is fetched, what cannot be a file."""
    if file.is_dir():
        raise ConfigurationError(
            f"--to {str(file)!r} is a directory", hint="Name a file in it: --to results.pickle."
        )
    if not file.parent.is_dir():
        raise ConfigurationError(
            f"--to {str(file)!r}: there is no directory {str(file.parent)!r}",
            hint="Make it first, or name a file in a directory that exists.",
        )
    return file


@runs.command(context_settings={"ignore_unknown_options": True})
def resume(
    name: RunName,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="What the program was given; it is not kept, as it may be secret."),
    ] = None,
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Start the program again that a run was begun with, on this machine. Only what has no reply yet is sent."""
    bucket, key = _bucket(stack, region, profile, endpoint_url)
    record = _run(name, bucket, key).record()
    script = (
        Path(record.directory, record.script)
        if record and record.script and record.host == platform.node()
        else None
    )
    if script is None or not script.is_file():
        raise ConfigurationError(
            f"the program that began {name!r} is not here"
            + (f": it ran on {record.host}" if record else ": the run has no record of its own"),
            hint=f"Start it where it is, with run={name!r} and the same code and inputs.",
        )
    os.chdir(script.parent)
    raise typer.Exit(
        subprocess.run([sys.executable, str(script), *(arguments or [])], check=False).returncode
    )


@runs.command()
def cancel(
    name: RunName,
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Withdraw a run's jobs, whoever sent them. Replies stay."""
    bucket, key = _bucket(stack, region, profile, endpoint_url)
    jobs = _run(name, bucket, key).cancel()
    print(
        f"{jobs:,} jobs were withdrawn; workers at one of them stop within seconds, and are billed until then"
    )


@runs.command()
def clean(
    name: RunName,
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
) -> None:
    """Remove all that a run has left."""
    bucket, key = _bucket(stack, region, profile, endpoint_url)
    objects = _run(name, bucket, key).clean()
    print(f"{objects:,} objects were removed")


def _when(record: Record | None, what: str) -> str:
    return (
        f"{datetime.fromtimestamp(getattr(record, what), UTC).astimezone():%Y-%m-%d %H:%M}"
        if record
        else "?"
    )
