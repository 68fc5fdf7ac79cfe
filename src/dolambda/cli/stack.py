"""``dolambda deploy``, ``plan``, ``status``, ``destroy``, ``policy``: a stack on AWS."""

from __future__ import annotations

import json
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dolambda.aws.account import Account, translated
from dolambda.environment.layer import Contents, table
from dolambda.provision import policies
from dolambda.provision.commands import commands as as_commands
from dolambda.provision.deploy import contents_of, names_of, resources
from dolambda.provision.deploy import deploy as apply_all
from dolambda.provision.deploy import destroy as remove_all
from dolambda.session import mismatches
from dolambda.settings import Settings
from dolambda.stack import Stack
from dolambda.wire.keys import JOBS, OUTS, parse_job_key

if TYPE_CHECKING:
    from dolambda.provision.plan import Change

Name = Annotated[
    str | None,
    typer.Option("--stack", help="Name of the stack; dolambda by default.", show_default=False),
]
Region = Annotated[
    str | None,
    typer.Option(help="AWS region; by default the one of `aws configure`.", show_default=False),
]
Profile = Annotated[str | None, typer.Option(help="AWS profile.", show_default=False)]
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url", help="Where AWS is, when it is not at Amazon's.", show_default=False
    ),
]
BucketName = Annotated[
    str | None,
    typer.Option(
        "--bucket", help="An existing bucket to use, or the name for a new one.", show_default=False
    ),
]
Requires = Annotated[
    list[str] | None,
    typer.Option(
        help="A package that tasks need, once for each, in the version installed here; by default all installed here.",
        show_default=False,
    ),
]
Requirements = Annotated[
    str | None, typer.Option(help="A requirements file with what tasks need.", show_default=False)
]
ExtraRequires = Annotated[
    list[str] | None,
    typer.Option(
        "--extra-requires",
        help="A package that tasks need as well, once for each: it adds to the others.",
        show_default=False,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        help="A package installed here that tasks do not need, once for each.", show_default=False
    ),
]
Memory = Annotated[
    int | None, typer.Option(help="Memory of a worker in MB; 1769 is one vCPU.", show_default=False)
]
Timeout = Annotated[
    int | None,
    typer.Option(help="Time limit of one invocation in seconds, 900 at most.", show_default=False),
]
Workers = Annotated[int | None, typer.Option(help="Most workers at a time.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Storage = Annotated[
    int | None,
    typer.Option(help="Size of a worker's /tmp in MB, 512 at least.", show_default=False),
]
Architecture = Annotated[
    str | None, typer.Option(help="x86_64 or arm64; by default this machine's.", show_default=False)
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        help="A fuse: most invocations that Lambda itself lets run at a time.", show_default=False
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(help="provided.al2023, to bring the interpreter in a layer.", show_default=False),
]
LayerArns = Annotated[
    list[str] | None,
    typer.Option("--layer", help="ARN of a layer of your own, once for each.", show_default=False),
]
LogDays = Annotated[
    int | None, typer.Option(help="How long the workers' log is kept, in days.", show_default=False)
]
UseR = Annotated[
    bool | None,
    typer.Option("--r", help="Let workers have R, for R's foreach.", show_default=False),
]
RPackages = Annotated[
    list[str] | None,
    typer.Option("--r-package", help="An R package that tasks need, once for each."),
]
RLayersFile = Annotated[
    str | None,
    typer.Option(
        "--r-layers", help="A file with R's layers, where there is no apt.", show_default=False
    ),
]
RoleArn = Annotated[
    str | None,
    typer.Option(
        help="ARN of a role that an administrator made for the workers; by default deploy makes one.",
        show_default=False,
    ),
]
Boundary = Annotated[
    str | None,
    typer.Option(
        "--permissions-boundary",
        help="ARN of a policy that bounds the role that deploy makes.",
        show_default=False,
    ),
]
Commands = Annotated[
    bool,
    typer.Option("--commands", help="Print the same as commands of the AWS CLI; change nothing."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]

console = Console(highlight=False, soft_wrap=True)


class Who(StrEnum):
    """Whose policy."""

    worker = "worker"
    submitter = "submitter"
    deployer = "deployer"


_POLICIES = {
    Who.worker: policies.worker,
    Who.submitter: policies.submitter,
    Who.deployer: policies.deployer,
}


def _told(change: Change) -> None:
    console.print(f"  [bold]{change.action}[/bold] {change.what}: {change.why}")


def plan(
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    bucket: BucketName = None,
    requires: Requires = None,
    requirements: Requirements = None,
    extra_requires: ExtraRequires = None,
    exclude: Exclude = None,
    memory: Memory = None,
    timeout: Timeout = None,
    storage: Storage = None,
    architecture: Architecture = None,
    runtime: Runtime = None,
    layers: LayerArns = None,
    workers: Workers = None,
    concurrency: Concurrency = None,
    log_days: LogDays = None,
    r: UseR = None,
    r_packages: RPackages = None,
    r_layers: RLayersFile = None,
    role: RoleArn = None,
    permissions_boundary: Boundary = None,
    as_json: AsJson = False,
) -> None:
    """Say what deploy would change, and why. Only reads."""
    settings = Settings.resolve(
        stack=stack,
        region=region,
        profile=profile,
        endpoint_url=endpoint_url,
        bucket=bucket,
        requires=tuple(requires) if requires else None,
        requirements=requirements,
        extra_requires=tuple(extra_requires) if extra_requires else None,
        exclude=tuple(exclude) if exclude else None,
        memory=memory,
        timeout=timeout,
        storage=storage,
        architecture=architecture,
        runtime=runtime,
        layers=tuple(layers) if layers else None,
        workers=workers,
        concurrency=concurrency,
        log_days=log_days,
        r=r,
        r_packages=tuple(r_packages) if r_packages else None,
        r_layers=r_layers,
        role=role,
        permissions_boundary=permissions_boundary,
    )
    account = Account.from_settings(settings)
    contents = contents_of(settings, here=False)
    changes = [
        change
        for part in resources(account, settings, here=False, contents=contents)
        for change in part.changes()
    ]
    if as_json:
        console.print_json(
            json.dumps(
                [
                    {"action": change.action, "what": change.what, "why": change.why}
                    for change in changes
                ]
            )
        )
        return
    for change in changes:
        _told(change)
    _show_sizes(contents, changes)
    console.print(
        f"{len(changes)} changes to the stack {settings.stack} in {account.region}."
        if changes
        else "Nothing to change."
    )


def deploy(
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    bucket: BucketName = None,
    requires: Requires = None,
    requirements: Requirements = None,
    extra_requires: ExtraRequires = None,
    exclude: Exclude = None,
    memory: Memory = None,
    timeout: Timeout = None,
    storage: Storage = None,
    architecture: Architecture = None,
    runtime: Runtime = None,
    layers: LayerArns = None,
    workers: Workers = None,
    concurrency: Concurrency = None,
    log_days: LogDays = None,
    r: UseR = None,
    r_packages: RPackages = None,
    r_layers: RLayersFile = None,
    role: RoleArn = None,
    permissions_boundary: Boundary = None,
    commands: Commands = False,
) -> None:
    """Make the stack, or change it to what is asked for; a second time changes nothing."""
    settings = Settings.resolve(
        stack=stack,
        region=region,
        profile=profile,
        endpoint_url=endpoint_url,
        bucket=bucket,
        requires=tuple(requires) if requires else None,
        requirements=requirements,
        extra_requires=tuple(extra_requires) if extra_requires else None,
        exclude=tuple(exclude) if exclude else None,
        memory=memory,
        timeout=timeout,
        storage=storage,
        architecture=architecture,
        runtime=runtime,
        layers=tuple(layers) if layers else None,
        workers=workers,
        concurrency=concurrency,
        log_days=log_days,
        r=r,
        r_packages=tuple(r_packages) if r_packages else None,
        r_layers=r_layers,
        role=role,
        permissions_boundary=permissions_boundary,
    )
    account = Account.from_settings(settings)
    contents = contents_of(settings, here=False)
    parts = resources(account, settings, here=False, contents=contents)
    _show_sizes(contents, [change for part in parts for change in part.changes()])
    if commands:
        directory = Path(tempfile.mkdtemp(prefix="dolambda-zips-"))
        console.print("\n".join(as_commands(account, parts, directory)), markup=False)
        console.print(
            f"\n# The files that these commands name are in {directory}; remove it when done."
        )
        console.print(
            "# The environment among them holds the signing key, made for this stack alone: keep it to yourself."
        )
        return
    made = apply_all(parts, _told)
    summary = f"{made} changes." if made else "nothing had to be changed."
    console.print(f"The stack {settings.stack} stands in {account.region}; {summary}")


def status(
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Tell what stands."""
    settings = Settings.resolve(
        stack=stack, region=region, profile=profile, endpoint_url=endpoint_url
    )
    account = Account.from_settings(settings)
    found = Stack.from_account(account, settings)
    runs, queued, answered = _queue(account, found.bucket)
    differences = mismatches(found)
    facts = {
        "stack": found.name,
        "stopped": found.reserved == 0,
        "region": found.region,
        "bucket": found.bucket,
        "python": found.python,
        "architecture": found.architecture,
        "memory_mb": found.memory,
        "timeout_s": found.timeout,
        "workers": found.workers,
        "packages": len(found.requires),
        "differs_from_here": differences,
        "live_runs": runs,
        "jobs_queued": queued,
        "replies_waiting": answered,
    }
    if as_json:
        console.print_json(json.dumps(facts))
        return
    for name, value in facts.items():
        console.print(f"{name:<19}{'no' if value == [] or value is False else value}")
    if found.reserved == 0:
        console.print(
            "STOPPED: its reserved concurrency is 0, nothing runs. `dolambda panic --undo` starts it again after a panic."
        )
    console.print("Idle it costs nothing but the storage of what is in its bucket.")


def _show_sizes(contents: Contents, changes: list[Change]) -> None:
    """What is about to be uploaded, before it is."""
    if any(
        change.what.startswith(("layer", "bundle")) and change.action == "create"
        for change in changes
    ):
        console.print("What workers shall have, unzipped:")
        for line in table(contents):
            console.print(f"    {line}")


def _queue(account: Account, bucket: str) -> tuple[int, int, int]:
    """How many runs, jobs and replies are in the bucket: those of live runs, and of killed clients until they expire."""
    with translated():
        pages = account.client("s3").get_paginator("list_objects_v2")
        found = [
            [
                entry["Key"]
                for page in pages.paginate(Bucket=bucket, Prefix=prefix)
                for entry in page.get("Contents", [])
            ]
            for prefix in (JOBS, OUTS)
        ]
    runs = {place[0] for key in found[0] if (place := parse_job_key(key))}
    return len(runs), len(found[0]), len(found[1])


def destroy(
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    bucket: BucketName = None,
    yes: Yes = False,
) -> None:
    """Remove all that deploy made, and nothing else."""
    settings = Settings.resolve(
        stack=stack, region=region, profile=profile, endpoint_url=endpoint_url, bucket=bucket
    )
    account = Account.from_settings(settings)
    parts = resources(account, settings, here=False, contents=Contents())
    changes = [change for part in reversed(parts) for change in part.removal()]
    if not changes:
        console.print(f"Nothing of a stack {settings.stack} stands in {account.region}.")
        return
    for change in changes:
        _told(change)
    if not yes:
        typer.confirm(f"Remove these from account {account.number}?", abort=True)
    remove_all(parts)
    console.print(f"The stack {settings.stack} is gone.")


def policy(
    who: Who,
    stack: Name = None,
    region: Region = None,
    profile: Profile = None,
    endpoint_url: Endpoint = None,
    bucket: BucketName = None,
) -> None:
    """Print an IAM policy as JSON, scoped to the stack, its bucket and account."""
    settings = Settings.resolve(
        stack=stack, region=region, profile=profile, endpoint_url=endpoint_url, bucket=bucket
    )
    names = names_of(Account.from_settings(settings), settings)
    console.print_json(json.dumps(_POLICIES[who](names)))
