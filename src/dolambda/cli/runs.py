"""``dolambda runs``: runs that this machine has recorded, and named runs in the bucket.

``run=`` of an executor, or of joblib's options, names one.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cloudpickle
import typer
from rich.console import Console
from rich.table import Table

from dolambda.aws.account import translated
from dolambda.aws.objects import Bucket
from dolambda.cli import options as given
from dolambda.cli.connect import connect
from dolambda.cli.files import refuse_unwritable, writing
from dolambda.cli.recorded_runs import any_record_of, record_of, recorded_runs, show_record
from dolambda.errors import ConfigurationError, DolambdaError
from dolambda.named_runs import NamedRun, names
from dolambda.progress.notices import notice
from dolambda.settings import Settings
from dolambda.stack import Stack
from dolambda.wire.outcome import Value
from dolambda.wording import count, listing, moment

if TYPE_CHECKING:
    from dolambda.named_run_record import Record

runs = typer.Typer(help="List runs, and manage named ones. Without a command, list them.")

RunName = Annotated[
    str,
    typer.Argument(
        help="The run's name, the beginning of it, or 'last' for the latest.", metavar="RUN"
    ),
]
_LAST = "last"
_WIDTH_OF_NAME = 16  # columns that a long program may not take from the names of runs
_COUNTS = ("tasks", "failed", "replies", "jobs")
_UNLIMITED = 1000  # columns if output is not a terminal


def _bucket(where: given.Where) -> tuple[Bucket, bytes]:
    target = connect(**where.given())
    found = Stack.from_account(target.account, target.settings)
    with translated():
        return Bucket.from_account(target.account, found.bucket, found.account), found.key


def _run(name: str, bucket: Bucket, key: bytes) -> tuple[str, NamedRun]:
    """Return the whole name, and the run, of a name, the beginning of one, or "last"."""
    known = names(bucket)
    if name not in known:
        name = _meant(name, known, bucket, key)
    return name, NamedRun(name, bucket, key)


def _meant(name: str, known: list[str], bucket: Bucket, key: bytes) -> str:
    if name == _LAST and known:
        return max(known, key=lambda one: _changed(NamedRun(one, bucket, key).record()))
    fitting = sorted(one for one in known if name and one.startswith(name))
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ConfigurationError(
            f"{count(len(fitting), 'run')} have names that begin with {name!r}: {listing(fitting)}",
            hint="Write enough of the name to tell them apart.",
        )
    raise ConfigurationError(
        f"no run {name!r} exists in s3://{bucket.name}",
        hint="`dolambda runs` lists all. They expire a week after their last reply.",
    )


@runs.callback(invoke_without_command=True)
@given.grouped
def alone(
    context: typer.Context,
    where: given.Where,
    as_json: given.AsJson = False,
) -> None:
    """List runs, and manage named ones. Without a command, list them."""
    if context.invoked_subcommand is None:
        _list(where, as_json)
    else:  # options before a command belong to it
        before = {name: value for name, value in context.params.items() if value}
        context.default_map = {context.invoked_subcommand: before}


@runs.command(name="list")
@given.grouped
def list_(
    where: given.Where,
    as_json: given.AsJson = False,
) -> None:
    """List runs, the latest first: those recorded on this machine, and the stack's named runs.

    With an option that says which stack, list only the named runs of that stack.
    """
    _list(where, as_json)


def _list(where: given.Where, as_json: bool) -> None:
    found = _named(*_bucket(where)) if where else _all()
    found.sort(key=lambda facts: facts["changed"] or "", reverse=True)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if not found:
        print(
            "no runs yet: each run is recorded here, and named ones (run=) are kept in the bucket"
        )
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    longest = max(len(facts["run"]) for facts in found)
    table.add_column("run", overflow="fold", min_width=min(longest, _WIDTH_OF_NAME))
    table.add_column("last change", no_wrap=True)
    table.add_column("state", no_wrap=True)
    counts = [name for name in _COUNTS if any(facts[name] is not None for facts in found)]
    for heading in counts:
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("program", overflow="ellipsis")
    for facts in found:
        changed = facts["changed"]
        table.add_row(
            facts["run"],
            f"{datetime.fromisoformat(changed).astimezone():%Y-%m-%d %H:%M}" if changed else "?",
            facts["state"],
            *(f"{facts[name]:,}" if facts[name] is not None else "" for name in counts),
            Path(facts["program"]).name if facts["program"] else "",
        )
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=_UNLIMITED)
    console.print(table)


def _all() -> list[dict[str, Any]]:
    """Return recorded runs, and named ones if a stack is found."""
    Settings.resolve()  # an error in the settings must be shown
    recorded = recorded_runs()
    try:
        return [*recorded, *_named(*_bucket(given.Where()))]
    except DolambdaError as error:
        why = str(error).partition("\n")[0]
        notice(f"named runs of a stack are not listed: {why}")
        return recorded


def _named(bucket: Bucket, key: bytes) -> list[dict[str, Any]]:
    return [_facts(name, NamedRun(name, bucket, key)) for name in names(bucket)]


def _facts(name: str, run: NamedRun) -> dict[str, Any]:
    """Return the facts of a run, for a script.

    The counts of tasks are known once its client has ended.
    """
    record, replies, jobs = run.record(), len(run.reply_keys()), len(run.jobs())
    over = record is not None and record.over
    return {
        "run": name,
        "kind": "named",
        "state": "complete" if over else "unfinished",
        "begun": _iso(record.begun) if record else None,
        "changed": _iso(record.changed) if record else None,
        "host": record.host if record else None,
        "program": _program(record),
        "tasks": record.tasks if record and over else None,
        "done": record.done if record and over else None,
        "failed": record.failed if record and over else None,
        "restored": record.restored if record and over else None,
        "replies": replies,
        "jobs": jobs,
    }


@runs.command()
@given.grouped
def show(
    name: RunName,
    where: given.Where,
    as_json: given.AsJson = False,
) -> None:
    """Show the progress of a run, and how to continue a named one."""
    if not where and (path := record_of(name)):
        show_record(path, as_json=as_json)
        return
    try:
        bucket, key = _bucket(where)
    except DolambdaError as error:
        if where:
            raise
        _show_without_stack(name, error, as_json=as_json)
        return
    name, run = _run(name, bucket, key)
    record, there = run.record(), run.reply_keys()
    outcomes = [outcome for reply in run.replies(there) for outcome in reply.outcomes]
    kinds = Counter({one.task: one.kind for one in outcomes if one.kind != "lost"}.values())
    lost = sum(one.kind == "lost" for one in outcomes)
    values, failures = kinds["value"], kinds["failure"]
    if as_json:
        outcome_counts = {"values": values, "failures": failures, "lost": lost}
        print(json.dumps(_facts(name, run) | outcome_counts, indent=2))
        return
    print(
        f"{name}: {count(values, 'task')} returned, {failures:,} raised, "
        f"{lost:,} were lost and will be run again"
    )
    replies, jobs = count(len(there), "reply", "replies"), count(len(run.jobs()), "job")
    print(f"  {replies} in s3://{bucket.name}; {jobs} waiting or running")
    if record:
        print(
            f"  begun {moment(record.begun)} on {record.host}, last change {moment(record.changed)}"
        )
    if record and record.over:
        print(
            f"  its last client finished: {record.done:,} done, {record.failed:,} failed, "
            f"of {count(record.tasks, 'task')}"
        )
    else:
        print("  unfinished: start the same program again, and it sends only what has no reply yet")
    if program := _program(record):
        print(f"  its program is {program}; `dolambda runs resume {name}` starts it")


def _show_without_stack(name: str, error: DolambdaError, *, as_json: bool) -> None:
    """Print what this machine has recorded of a run, if no stack can be reached."""
    why = str(error).partition("\n")[0]
    path = any_record_of(name)
    if path is None:
        raise ConfigurationError(
            f"no run {name!r} is recorded, and named runs of a stack cannot be read: {why}",
            hint="`dolambda runs` lists those recorded on this machine.",
        ) from error
    notice(f"only what this machine has recorded is shown: {why}")
    show_record(path, as_json=as_json)


@runs.command()
@given.grouped
def fetch(
    name: RunName,
    where: given.Where,
    to: Annotated[
        Path | None, typer.Option(help="The file. Default: RUN.pickle.", show_default=False)
    ] = None,
) -> None:
    """Save the results so far into a file.

    It is a pickled dict: result or exception by the task's number in the last start.
    """
    if to is not None:
        refuse_unwritable(to, "--to")
    bucket, key = _bucket(where)
    name, run = _run(name, bucket, key)
    file = Path(f"{name}.pickle") if to is None else to
    refuse_unwritable(file, "--to")
    found = run.results()
    results = {}
    for index, packed in found.outcomes.items():
        outcome = packed.open()
        results[index] = outcome.value if isinstance(outcome, Value) else outcome.to_error()
    with writing(file, "--to"):
        file.write_bytes(cloudpickle.dumps(results))
    print(f"saved {count(len(results), 'result')} in {file}: pickle.load returns them by number")
    if found.others:
        why = "of earlier starts: the last start has not reached their tasks"
        if run.record() is None:
            why = "whose numbers the missing record would tell: start the program again"
        print(f"left out {count(found.others, 'result')} {why}")


@runs.command(context_settings={"ignore_unknown_options": True})
@given.grouped
def resume(
    name: RunName,
    where: given.Where,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="The program's arguments. They may be secret, so they are not stored."),
    ] = None,
) -> None:
    """Start a run's program again, on this machine. It sends only what has no reply yet."""
    bucket, key = _bucket(where)
    name, run = _run(name, bucket, key)
    record = run.record()
    program = _program(record)
    script = Path(program) if program and record and record.host == platform.node() else None
    if script is None or not script.is_file():
        raise ConfigurationError(
            f"the program that began {name!r} is not on this machine"
            + (f": it ran on {record.host}" if record else ": the run has no record of its own"),
            hint=f"Start it where it is, with run={name!r} and the same code and inputs.",
        )
    os.chdir(script.parent)
    raise typer.Exit(
        subprocess.run([sys.executable, str(script), *(arguments or [])], check=False).returncode
    )


@runs.command()
@given.grouped
def cancel(
    name: RunName,
    where: given.Where,
) -> None:
    """Withdraw a run's jobs. Its replies stay."""
    bucket, key = _bucket(where)
    _, run = _run(name, bucket, key)
    print(f"withdrew {count(run.cancel(), 'job')}. Workers that run one stop within seconds.")


@runs.command()
@given.grouped
def clean(
    name: RunName,
    where: given.Where,
) -> None:
    """Remove all objects of a run."""
    bucket, key = _bucket(where)
    name, run = _run(name, bucket, key)
    print(f"removed {count(run.clean(), 'object')} of {name}")


def _program(record: Record | None) -> str | None:
    """Return the path of the program that began a run, or None if it was not a file."""
    return str(Path(record.directory, record.script)) if record and record.script else None


def _changed(record: Record | None) -> float:
    return record.changed if record else 0.0


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
