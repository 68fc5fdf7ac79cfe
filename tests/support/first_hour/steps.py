"""The steps of the first hour, in the audit's order, then the rest of a stack's life."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, wait
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dolambda import LambdaExecutor
from dolambda.aws.account import Credentials, translated
from dolambda.cli.round_trip import check_stack
from dolambda.errors import StackStoppedError, TaskTimedOutError, WorkerCrashedError
from dolambda.provision.deploy import names_of
from dolambda.provision.panic import Panic
from dolambda.provision.rotate_key import Rotation
from support.first_hour import tasks
from support.first_hour.hour import RUN, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.session import Session
    from support.first_hour.hour import Hour

_PATIENCE_S = 150.0
"""Seconds for a few short tasks, twice sent, in the worst case."""


def first_deploy(hour: Hour) -> None:
    """Deploy, and run one task at once: IAM and S3 know role and bucket only some time later."""
    assert hour.deploy() > 0
    assert hour.deploy() == 0, "the second deployment found something to change"
    hour.count(runs=2)  # a task, and a call of the function
    check_stack(hour.settings, Credentials(session=hour.account.session))


def submitter_only(hour: Hour) -> None:
    """Send 1 MB and begin a named run, with the printed policy as the only permissions."""
    argument = os.urandom(1 << 20)
    with (
        hour.submitter(hour.settings) as submitter,
        hour.session(submitter) as session,
        LambdaExecutor(session=session, run="first-hour") as executor,
    ):
        assert executor.submit(tasks.nbytes, argument).result(_PATIENCE_S) == 1 << 20


def add_a_package(hour: Hour) -> None:
    """Deploy with one more package, which becomes a layer beside the present one."""
    assert hour.deploy(requires=("cloudpickle", "joblib")) > 0
    assert hour.deploy() == 0
    assert _one(hour, tasks.version_of, "joblib") == version("joblib")


def change_bucket(hour: Hour) -> None:
    """Move the stack to another bucket, and run a task, whose job only that one can announce."""
    present = names_of(hour.account, hour.settings).bucket
    hour.former_buckets.append(present)
    assert hour.deploy(bucket=f"{present}-2") > 0
    assert hour.deploy() == 0
    _squares(hour, transport="queue")


def doctor(hour: Hour) -> None:
    """Run `dolambda doctor` with the account's credentials, SSO among them."""
    given = {
        "STACK": hour.settings.stack,
        "REGION": hour.account.region,
        "BUCKET": hour.settings.bucket,
        "ENDPOINT_URL": hour.settings.endpoint_url,
        "REQUIRES": ",".join(hour.settings.requires or ()),
        "BUDGET": str(RUN),
        "PROGRESS": "false",
    }
    env = os.environ | {f"DOLAMBDA_{name}": value for name, value in given.items() if value}
    if hour.keys.key and hour.keys.secret:
        env |= {"AWS_ACCESS_KEY_ID": hour.keys.key, "AWS_SECRET_ACCESS_KEY": hour.keys.secret}
    hour.count(runs=2)
    ran = subprocess.run(
        [sys.executable, "-m", "dolambda", "doctor", "--json"],
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert ran.stdout.strip().startswith("["), ran.stdout + ran.stderr
    findings = json.loads(ran.stdout)
    bad = [f"{one['what']}: {one['found']}" for one in findings if one["fine"] is False]
    assert not bad, "\n".join(bad)


def both_transports(hour: Hour) -> None:
    """Run tasks through the queue, and by direct calls."""
    for transport in ("queue", "direct"):
        _squares(hour, transport=transport)


def crash(hour: Hour) -> None:
    """See a worker die, and the next one work."""
    with hour.session() as session:
        error = _error(session, tasks.dies)
        assert isinstance(error, WorkerCrashedError), repr(error)
    _squares(hour)


def time_limit(hour: Hour) -> None:
    """See a task stopped at its time limit."""
    with hour.session(task_timeout=2.0) as session:
        error = _error(session, tasks.sleeps, 20.0)
        assert isinstance(error, TaskTimedOutError), repr(error)


def live_output(hour: Hour) -> None:
    """See what a task prints while it still runs."""
    seen = hour.scratch / "seen"
    output = io.StringIO()
    with (
        contextlib.redirect_stdout(output),
        hour.session(logs="live") as session,
        LambdaExecutor(session=session) as executor,
    ):
        future = executor.submit(tasks.prints_and_waits, str(seen), 20.0)
        deadline = time.monotonic() + _PATIENCE_S
        while tasks.SAID not in output.getvalue() and time.monotonic() < deadline:
            if wait([future], 0.05, FIRST_COMPLETED).done:
                break
        early = tasks.SAID in output.getvalue() and not future.done()
        seen.touch()
        future.result(_PATIENCE_S)
    assert early, "the output came with the reply, not before"


def named_run(hour: Hour) -> None:
    """Begin a named run again with more tasks: those that are done are not sent again."""
    for tasks_now, restored in ((4, 0), (8, 4)):
        with (
            hour.session() as session,
            LambdaExecutor(session=session, run="first-hour-again") as executor,
        ):
            found = list(executor.map(tasks.square, range(tasks_now), timeout=_PATIENCE_S))
            assert found == [number**2 for number in range(tasks_now)]
            assert executor.report.restored == restored, executor.report.restored


def panic(hour: Hour) -> None:
    """Stop the stack, be refused, undo it, and run tasks again."""
    stop = Panic(hour.account, hour.settings.stack)
    try:
        stop.begin()
        with hour.session():
            raise AssertionError("a stopped stack let a session open")
    except StackStoppedError:
        pass
    finally:  # later steps need the stack
        undone = stop.undo()
    assert undone, "the undoing found nothing to undo"
    _squares(hour)


def rotate_key(hour: Hour) -> None:
    """Replace the signing key, in both steps, and run tasks after each."""
    rotation = Rotation(hour.account, hour.settings.stack)
    rotation.rotate()
    _squares(hour)
    assert rotation.finish()
    _squares(hour)


def nothing_left(hour: Hour) -> None:
    """Remove the stack, and find nothing of it, nor in buckets that it had before."""
    hour.destroy()
    deadline = time.monotonic() + 60  # what was removed may still be listed for some seconds
    while (left := _left(hour)) and time.monotonic() < deadline:
        time.sleep(2)
    assert not left, f"left: {', '.join(left)}"


STEPS = (
    Step("first deploy", "A4, A6", 2, first_deploy, begins=True),
    Step("submitter only, 1 MB, run=", "A3", 1, submitter_only),
    Step("a package more", "A2", 1, add_a_package),
    Step("another bucket", "A9", 1, change_bucket),
    Step("doctor", "B12", 2, doctor),
    Step("both transports", "", 2, both_transports),
    Step("crash", "", 2, crash),
    Step("time limit", "", 1, time_limit),
    Step("live output", "", 1, live_output),
    Step("named run resumed", "", 2, named_run),
    Step("panic and undo", "", 1, panic),
    Step("rotate-key", "", 2, rotate_key),
    Step("destroy, nothing left", "", 0, nothing_left),
)


def _one(hour: Hour, task: Callable[..., Any], *arguments: Any) -> Any:
    with hour.session() as session, LambdaExecutor(session=session) as executor:
        return executor.submit(task, *arguments).result(_PATIENCE_S)


def _squares(hour: Hour, **changes: Any) -> None:
    with hour.session(**changes) as session, LambdaExecutor(session=session, batch=4) as executor:
        found = list(executor.map(tasks.square, range(20), timeout=_PATIENCE_S))
    assert found == [number**2 for number in range(20)]


def _error(session: Session, task: Callable[..., Any], *arguments: Any) -> BaseException | None:
    with LambdaExecutor(session=session) as executor:
        return executor.submit(task, *arguments).exception(_PATIENCE_S)


def _left(hour: Hour) -> list[str]:
    """Return what is left of the stack."""
    names, client = names_of(hour.account, hour.settings), hour.account.client
    mine = (names.stack, f"{names.stack}-")
    awslambda = client("lambda")
    with translated():
        left = [
            f"{kind} {name}"
            for kind, request, key, key_of_name in (
                ("function", "list_functions", "Functions", "FunctionName"),
                ("layer", "list_layers", "Layers", "LayerName"),
            )
            for page in awslambda.get_paginator(request).paginate()
            for name in [one[key_of_name] for one in page[key]]
            if name == mine[0] or name.startswith(mine[1])
        ]
        groups = client("logs").describe_log_groups(logGroupNamePrefix=names.log_group)["logGroups"]
        left += [f"log group {one['logGroupName']}" for one in groups]
        left += [f"role {names.role}"] * _is_there(client("iam").get_role, RoleName=names.role)
        for bucket in {names.bucket, *hour.former_buckets}:
            left += [f"bucket {bucket}"] * _is_there(client("s3").head_bucket, Bucket=bucket)
    return left


def _is_there(request: Callable[..., object], **params: str) -> bool:
    try:
        request(**params)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchEntity", "404", "NoSuchBucket"):
            return False
        raise
    return True
