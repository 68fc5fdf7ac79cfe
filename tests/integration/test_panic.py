"""`dolambda panic` stops a stack, twice as well as once, and `--undo` puts back what was there; on
the emulated AWS.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dolambda import LambdaExecutor, register, unregister
from dolambda.errors import NotDeployedError, ProvisionError, StackStoppedError
from dolambda.local.stack import deploy_into, root
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.provision.panic import MARK, Before, Panic
from dolambda.settings import Settings
from support import programs
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.aws.account import Credentials
    from dolambda.local.instance import Instance
    from dolambda.session import Session

OTHERS = {
    "Id": "thumbnails",
    "Events": ["s3:ObjectCreated:*"],
    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "photos/"}]}},
}


class Stage:
    """A stack that may be stopped, its submitter, and the account's root user."""

    def __init__(self, instance: Instance) -> None:
        self.asked = Settings(stack="runaway", requires=(), timeout=20, max_wait=5)
        self.settings, self.credentials = deploy_into(instance, self.asked)
        self.account = root(instance, self.asked)[1]
        self.names = names_of(self.account, self.settings)
        self.s3, self.awslambda = self.account.client("s3"), self.account.client("lambda")

    def panic(self) -> Panic:
        return Panic(self.account, "runaway")

    def open(self) -> Session:
        given: Credentials = self.credentials
        return register(
            stack="runaway",
            region=self.settings.region,
            endpoint_url=self.settings.endpoint_url,
            key=given.key,
            secret=given.secret,
            progress=False,
        )

    def reserved(self) -> int | None:
        found: int | None = self.awslambda.get_function_concurrency(FunctionName="runaway").get(
            "ReservedConcurrentExecutions"
        )
        return found

    def rules(self) -> list[dict[str, Any]]:
        return list(
            self.s3.get_bucket_notification_configuration(Bucket=self.names.bucket).get(
                "LambdaFunctionConfigurations", []
            ),
        )

    def tags(self) -> dict[str, str]:
        return dict(self.awslambda.list_tags(Resource=self.names.function_arn)["Tags"])

    def keys(self, prefix: str) -> list[str]:
        return [
            entry["Key"]
            for entry in self.s3.list_objects_v2(Bucket=self.names.bucket, Prefix=prefix).get(
                "Contents", []
            )
        ]

    def put(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket=self.names.bucket, Key=key, Body=b"")


@pytest.fixture
def stage(instance: Instance) -> Iterator[Stage]:
    made = Stage(instance)
    yield made
    unregister()
    destroy(resources(made.account, replace(made.settings, requires=()), here=True))


@pytest.mark.parametrize("concurrency", [None, 3])
def test_panic_twice_and_undo_put_back_exactly_what_was_there(
    stage: Stage, concurrency: int | None
) -> None:
    wanted = replace(stage.settings, concurrency=concurrency)
    deploy(resources(stage.account, wanted, here=True))
    other = {**OTHERS, "LambdaFunctionArn": stage.names.function_arn}
    stage.s3.put_bucket_notification_configuration(
        Bucket=stage.names.bucket,
        NotificationConfiguration={"LambdaFunctionConfigurations": [*stage.rules(), other]},
    )
    before = (stage.reserved(), sorted(map(str, stage.rules())), stage.tags())
    told: list[str] = []
    stage.panic().begin(told.append)
    shown = "none" if concurrency is None else str(concurrency)
    assert told == [
        f"reserved concurrency set from {shown} to 0: Lambda begins no more invocations",
        "trigger removed: objects under jobs/ invoke nothing",
        "0 jobs removed from the queue; replies under outs/ stay",
    ]
    assert (stage.reserved(), [rule["Id"] for rule in stage.rules()]) == (0, ["thumbnails"])
    told.clear()
    stage.put(
        *(f"jobs/00/client/000000/{number:09d}" for number in range(3)),
        "outs/client/000000/000000000",
    )
    assert stage.panic().begin(told.append) == 3
    assert told == [
        "reserved concurrency is already 0: Lambda begins no invocation",
        "trigger is already off",
        "3 jobs removed from the queue; replies under outs/ stay",
    ]
    assert stage.keys("jobs/") == []
    assert stage.keys("outs/") == ["outs/client/000000/000000000"]
    assert stage.panic().undo()
    assert (stage.reserved(), sorted(map(str, stage.rules())), stage.tags()) == before
    assert not stage.panic().undo()
    assert deploy(resources(stage.account, wanted, here=True)) == 0
    with stage.open() as session, LambdaExecutor(session=session) as executor:
        assert executor.submit(len, "abc").result(30) == 3


def test_a_damaged_memory_does_not_keep_it_from_stopping(stage: Stage) -> None:
    stage.awslambda.tag_resource(Resource=stage.names.function_arn, Tags={MARK: "edited by hand"})
    told: list[str] = []
    stage.panic().begin(told.append)
    assert stage.reserved() == 0
    assert stage.rules() == []
    assert "which dolambda did not write" in told[0]
    with pytest.raises(ProvisionError, match="did not write"):
        stage.panic().undo()
    stage.awslambda.tag_resource(
        Resource=stage.names.function_arn, Tags={MARK: Before(None, trigger=True).to_tag()}
    )
    assert stage.panic().undo()
    assert stage.reserved() is None


def test_a_client_is_refused_before_anything_is_sent_and_a_deploy_before_anything_is_changed(
    stage: Stage,
) -> None:
    stage.panic().begin()
    with pytest.raises(
        StackStoppedError, match=r"the stack 'runaway' is stopped: .*\n  `dolambda panic --undo`"
    ):
        stage.open()
    assert stage.keys("jobs/") + stage.keys("blobs/") == []
    with pytest.raises(
        ProvisionError, match=r"stopped by `dolambda panic`.*\n  Run `dolambda panic --undo` first"
    ):
        deploy(resources(stage.account, replace(stage.settings, timeout=30), here=True))
    assert stage.reserved() == 0
    assert stage.awslambda.get_function_configuration(FunctionName="runaway")["Timeout"] == 20


def test_what_runs_away_stops(stage: Stage, tmp_path: Path) -> None:
    """Tasks are at work and more wait: after the panic, none begins."""
    marks = tmp_path / "marks"
    marks.mkdir()

    def task(number: int) -> None:
        Path(marks, str(number)).touch()
        time.sleep(0.5)

    session = stage.open()
    executor = LambdaExecutor(session=session, batch=1)
    futures = [executor.submit(task, number) for number in range(200)]
    until(lambda: len(list(marks.iterdir())) > 2)
    stage.panic().begin()
    begun, deadline = -1, time.monotonic() + 30  # the rest of the tasks would take longer
    while len(list(marks.iterdir())) != begun:
        assert time.monotonic() < deadline, "tasks go on"
        begun = len(list(marks.iterdir()))
        time.sleep(3)  # six tasks of each worker
    assert begun < 200
    executor.shutdown(wait=False, cancel_futures=True)
    session.close()
    assert len(list(marks.iterdir())) == begun
    assert not all(
        future.done() and not future.cancelled() and future.exception() is None
        for future in futures
    )


@pytest.mark.parametrize(
    "step",
    [
        "TagResource",
        "PutFunctionConcurrency",
        "PutBucketNotificationConfiguration",
        "DeleteObjects",
    ],
)
def test_cut_off_at_any_step_it_goes_on_when_run_again(stage: Stage, step: str) -> None:
    stage.put("jobs/00/client/000000/000000000")
    before = (stage.reserved(), stage.rules(), stage.tags())

    def cut(_service: str, operation: str, _params: dict[str, Any]) -> None:
        if operation == step:
            raise KeyboardInterrupt

    stage.account.intercept(cut)
    with pytest.raises(KeyboardInterrupt):
        stage.panic().begin()
    stage.account.intercept(lambda *_: None)
    stage.panic().begin()
    assert (stage.reserved(), stage.rules(), stage.keys("jobs/")) == (0, [], [])
    for operation in (
        "PutBucketNotificationConfiguration",
        "DeleteFunctionConcurrency",
        "UntagResource",
    ):
        step = operation
        stage.account.intercept(cut)
        with pytest.raises(KeyboardInterrupt):
            stage.panic().undo()
        stage.account.intercept(lambda *_: None)
        assert stage.panic().begin() == 0  # and a panic in between overwrites nothing
    assert stage.panic().undo()
    assert (stage.reserved(), stage.rules(), stage.tags()) == before


def test_from_the_command_line(stage: Stage, instance: Instance, tmp_path: Path) -> None:
    environ = dict(os.environ) | {
        "AWS_ACCESS_KEY_ID": instance.key,
        "AWS_SECRET_ACCESS_KEY": instance.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "DOLAMBDA_ENDPOINT_URL": instance.endpoint_url,
        "DOLAMBDA_STACK": "runaway",
    }

    def run(*arguments: str) -> tuple[int, str]:
        done = programs.run("-m", "dolambda", *arguments, cwd=tmp_path, env=environ)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    code, said = run("panic", "--undo")
    assert (code, said) == (0, "The stack runaway is not in panic: nothing was changed.\n")
    stage.put("jobs/00/client/000000/000000000")
    code, said = run("panic")
    assert code == 0
    assert "  reserved concurrency set from none to 0" in said
    assert "  1 jobs removed" in said
    assert "The stack runaway is stopped." in said
    assert "for at most 20 s more" in said
    assert "dolambda panic --undo" in said
    code, said = run("status")
    assert code == 0
    assert "STOPPED: the reserved concurrency is 0" in said
    assert "dolambda panic --undo" in said
    code, said = run("doctor")
    assert code == 1
    assert "the stack 'runaway' is stopped" in said
    code, said = run("deploy")
    assert code == 1
    assert "dolambda panic --undo" in said
    code, said = run("panic", "--undo")
    assert code == 0
    assert (
        "  trigger on: objects created under jobs/ invoke the function\n  reserved concurrency "
        "restored to none\n" in said
    )
    assert "stopped            no" in run("status")[1]
    stage.awslambda.put_function_concurrency(
        FunctionName="runaway", ReservedConcurrentExecutions=0
    )  # as the console's Throttle
    assert "is not in panic" in run("panic", "--undo")[1]
    assert "set by someone else. `dolambda deploy`" in run("panic", "--undo")[1]
    assert run("deploy")[0] == 0
    assert stage.reserved() is None


def test_what_dolambda_did_not_make_is_left_alone(stage: Stage) -> None:
    with pytest.raises(NotDeployedError, match=r"there is no stack 'nowhere'.*\n  Use stack="):
        Panic(stage.account, "nowhere")
    found = stage.awslambda.get_function_configuration(FunctionName="runaway")["Environment"][
        "Variables"
    ]
    stage.awslambda.update_function_configuration(
        FunctionName="runaway", Environment={"Variables": {}}
    )
    with pytest.raises(NotDeployedError, match="was not made by dolambda"):
        stage.panic()
    stage.awslambda.update_function_configuration(
        FunctionName="runaway", Environment={"Variables": found}
    )


@pytest.mark.parametrize(
    "before", [Before(None, trigger=True), Before(0, trigger=False), Before(200, trigger=True)]
)
def test_what_is_remembered_fits_a_tag(before: Before) -> None:
    value = before.to_tag()
    assert Before.from_tag(value) == before
    assert all(
        sign.isalnum() or sign in " _.:/=+-@" for sign in value
    )  # what AWS lets a tag's value hold
