"""Who may write into the bucket must not thereby run code, and the worker can do no more than its work."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from dolambda import LambdaExecutor
from dolambda.aws.account import Account, Credentials
from dolambda.errors import AccessDeniedError, ConfigurationError, JobRefusedError, NotDeployedError
from dolambda.local.stack import root
from dolambda.registration import register
from dolambda.settings import Settings
from dolambda.transport.base import Answered, SealedJob
from dolambda.wire import keys
from dolambda.wire.outcome import Lost, Reply
from dolambda.wire.task import Job, PackedTask, Packer, Task

if TYPE_CHECKING:
    from pathlib import Path

    from dolambda.local.instance import Instance
    from dolambda.session import Session


def log_of(admin: Account, *, until: str) -> str:
    """The function's log once it holds ``until``; its events arrive a moment after the invocation."""
    logs = admin.client("logs")
    deadline = time.monotonic() + 20
    text = ""
    while until not in text and time.monotonic() < deadline:
        text = "\n".join(event["message"] for event in logs.filter_log_events(logGroupName="/aws/lambda/dolambda")["events"])
        time.sleep(0.1)
    return text


def test_garbage_put_under_jobs_harms_nothing_and_is_reported(session: Session, admin: Account) -> None:
    assert session.bucket is not None
    name = f"jobs/garbage-{time.time_ns()}"
    session.bucket.put(name, b"no job of ours")
    assert name in log_of(admin, until=name)
    log = log_of(admin, until="it is not named as a job is")
    assert "refused: it is not named as a job is" in log
    session.bucket.delete([name])
    with LambdaExecutor() as executor:
        assert executor.submit(len, "abc").result(30) == 3


class LeavesAMark:
    """Un-pickling it writes a file: the oracle for "refused before it is unpickled"."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (self.mark, "w")


@pytest.mark.parametrize("signed_with", ["another key", "this stack's key"])
def test_a_tampered_job_is_refused_before_it_is_unpickled(session: Session, tmp_path: Path, signed_with: str) -> None:
    mark = tmp_path / "mark"
    (task,) = (task for task in Packer(same_buffers=False).pack([Task(0, str, (LeavesAMark(mark),))]) if isinstance(task, PackedTask))
    run = keys.run_name(keys.new_client_id(), 0)
    job = Job(run, 0, 1, time.time() + 60, (task,), {blob.digest: blob.data for blob in task.blobs})
    key = session.key if signed_with == "this stack's key" else b"x" * 32
    assert session.bucket is not None
    session.bucket.put(keys.job_key(run, 0), job.to_bytes(key))
    deadline = time.monotonic() + 20
    while session.bucket.age(keys.reply_key(run, 0)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    reply = Reply.from_bytes(session.bucket.get(keys.reply_key(run, 0)), session.key)
    session.bucket.delete([keys.job_key(run, 0), keys.reply_key(run, 0)])
    assert mark.exists() is (signed_with == "this stack's key")  # so the mark does work, when it is let
    if signed_with == "another key":
        refused = reply.outcomes[0].open()
        assert isinstance(refused, Lost)
        assert refused.reason == "refused"
        assert "not signed with this stack's key" in refused.detail


def test_a_job_replaced_in_the_bucket_is_refused_to_the_user(session: Session) -> None:
    """An attacker who overwrites the job's object: the user gets an error that says so, and at once."""
    transport = session.transport
    sent = transport.send

    def tampered(job: SealedJob, answered: Answered) -> None:
        sent(SealedJob(job.run, job.number, job.data[:-1] + bytes([job.data[-1] ^ 1]), job.blobs), answered)

    transport.send = tampered  # type: ignore[method-assign] # the attacker
    with LambdaExecutor() as executor, pytest.raises(JobRefusedError, match="not signed with this stack's key"):
        executor.submit(len, "abc").result(20)


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        (lambda s3, bucket: s3.put_object(Bucket=bucket, Key="outs/probe", Body=b""), True),
        (lambda s3, bucket: s3.put_object(Bucket=bucket, Key="jobs/probe", Body=b""), False),
        (lambda s3, bucket: s3.put_object(Bucket=bucket, Key="blobs/probe", Body=b""), False),
        (lambda s3, bucket: s3.get_object(Bucket=bucket, Key="outs/probe"), False),
        (lambda s3, bucket: s3.list_objects_v2(Bucket=bucket), False),
        (lambda s3, bucket: s3.delete_object(Bucket=bucket, Key="outs/probe"), False),
    ],
    ids=["write outs", "write jobs", "write blobs", "read outs", "list", "delete"],
)
def test_the_worker_can_do_no_more_than_its_work(session: Session, action: Any, allowed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The runaway loop of doLambda's caveat, a worker that puts jobs, is impossible by IAM."""
    assert session.bucket is not None
    bucket = session.bucket.name

    def on_the_worker() -> str:
        import boto3  # noqa: PLC0415 - the Lambda runtime brings it
        from botocore.config import Config  # noqa: PLC0415 - as above

        s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        try:
            action(s3, bucket)
        except s3.exceptions.ClientError as error:
            return str(error.response["Error"]["Code"])
        return "allowed"

    with LambdaExecutor() as executor:
        assert executor.submit(on_the_worker).result(30) == ("allowed" if allowed else "AccessDenied")
    session.bucket.delete(["outs/probe"])


def test_the_submitter_cannot_deploy(deployed: tuple[Settings, Credentials]) -> None:
    account = Account.from_settings(*deployed)
    iam, awslambda, s3 = (account.client(service) for service in ("iam", "lambda", "s3"))
    with pytest.raises(ClientError, match="AccessDenied"):
        iam.create_role(RoleName="x", AssumeRolePolicyDocument="{}")
    with pytest.raises(ClientError, match="AccessDenied"):
        awslambda.delete_function(FunctionName="dolambda")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_bucket(Bucket="dolambda-000000000000-us-east-1")


def test_no_secret_is_shown(session: Session, deployed: tuple[Settings, Credentials]) -> None:
    _, credentials = deployed
    shown = repr((session, session.stack, credentials, session.instance))
    assert credentials.secret
    for secret in (credentials.secret, session.key.hex(), repr(session.key)):
        assert secret not in shown


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"key": "AKIDUNKNOWN", "secret": "x"}, ConfigurationError, "does not know these credentials"),
        ({"secret": None}, ConfigurationError, "key= was given without secret="),
        ({"bucket": "another-bucket"}, ConfigurationError, "not 'another-bucket'"),
        ({"region": None}, ConfigurationError, "no AWS region is set"),
        ({"profile": "nobody", "key": None, "secret": None}, ConfigurationError, "nobody"),
    ],
)
def test_what_cannot_work_is_said_at_register(
    deployed: tuple[Settings, Credentials], wrong: dict[str, Any], error: type[Exception], says: str
) -> None:
    settings, credentials = deployed
    right = {"region": settings.region, "endpoint_url": settings.endpoint_url, "key": credentials.key, "secret": credentials.secret}
    with pytest.raises(error, match="\n  ") as caught:
        register(**(right | wrong))
    assert says in str(caught.value)
    assert str(credentials.secret) not in str(caught.value)


def test_a_stack_that_does_not_stand_is_not_deployed(instance: Instance) -> None:
    settings, _ = root(instance, Settings(stack="no-such-stack"))
    with pytest.raises(NotDeployedError, match=r"there is no stack 'no-such-stack' in us-east-1.*\n  Run `dolambda deploy`"):
        register(
            stack="no-such-stack", region=settings.region, endpoint_url=settings.endpoint_url, key=instance.key, secret=instance.secret
        )


def test_a_submitter_of_another_stack_is_told_what_it_lacks(deployed: tuple[Settings, Credentials], admin: Account) -> None:
    settings, _ = deployed
    iam = admin.client("iam")
    iam.create_user(UserName="stranger")
    made = iam.create_access_key(UserName="stranger")["AccessKey"]
    with pytest.raises(AccessDeniedError, match="lambda:GetFunctionConfiguration"):
        register(region=settings.region, endpoint_url=settings.endpoint_url, key=made["AccessKeyId"], secret=made["SecretAccessKey"])


def test_no_test_has_real_credentials() -> None:
    assert not [name for name in os.environ if name.startswith("AWS_") and name != "AWS_EC2_METADATA_DISABLED"]
