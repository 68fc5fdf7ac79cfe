"""``dolambda status``: the deployed stack, its queue, and how it differs from this environment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console

from dolambda.aws.account import translated
from dolambda.cli import options as given
from dolambda.cli.connect import connect
from dolambda.environment.stack_match import mismatches
from dolambda.stack import Stack
from dolambda.wire.keys import JOBS, OUTS, parse_job_key
from dolambda.wording import yes_no

if TYPE_CHECKING:
    from dolambda.aws.account import Account

console = Console(highlight=False, soft_wrap=True)


@given.grouped
def status(
    where: given.Where,
    as_json: given.AsJson = False,
) -> None:
    """Show the deployed stack and its queue."""
    target = connect(**where.given())
    found = Stack.from_account(target.account, target.settings)
    runs, queued, replies = _queue(target.account, found.bucket)
    facts = {
        "stack": found.name,
        "emulated": target.instance is not None,
        "stopped": found.reserved == 0,
        "region": found.region,
        "bucket": found.bucket,
        "python": found.python,
        "architecture": found.architecture,
        "memory_mb": found.memory,
        "timeout_s": found.timeout,
        "workers": found.workers,
        "packages": len(found.requires),
        "differs_from_here": mismatches(found),
        "live_runs": runs,
        "jobs_queued": queued,
        "replies_waiting": replies,
    }
    if as_json:
        console.print_json(json.dumps(facts))
        return
    for name, value in facts.items():
        console.print(f"{name:<19}{_shown(value)}", markup=False)
    if found.reserved == 0:
        console.print(
            "STOPPED: the reserved concurrency is 0, so no job runs. "
            "After a panic, `dolambda panic --undo` starts it again."
        )
    if target.instance is None:
        console.print("While idle it costs only the storage of its bucket.")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return yes_no(value)
    if isinstance(value, list):
        return "; ".join(value) or "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _queue(account: Account, bucket: str) -> tuple[int, int, int]:
    """Count the runs, jobs and replies in the bucket.

    They belong to running clients, and to killed ones until they expire.
    """
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
