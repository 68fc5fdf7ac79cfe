"""Who may write into the bucket must not thereby run code, and the worker can do no more than its
work.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pickle
import time
from array import array
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
from botocore.exceptions import ClientError

from dolambda import LambdaExecutor
from dolambda.aws.account import Account, Credentials
from dolambda.environment.archive import make_zip
from dolambda.errors import (
    AccessDeniedError,
    ConfigurationError,
    EnvelopeError,
    JobRefusedError,
    LostError,
    NotDeployedError,
    ProvisionError,
)
from dolambda.local.stack import root
from dolambda.provision import policies
from dolambda.provision.bucket import Bucket
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.registration import register
from dolambda.settings import Settings
from dolambda.transport.base import OnReply, SealedJob
from dolambda.wire import keys
from dolambda.wire.blob import Blob
from dolambda.wire.chunk import OFFSET, Chunk
from dolambda.wire.outcome import Failure, PackedOutcome
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.reply import Reply
from support.worker_jobs import job, job_of

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from dolambda.local.instance import Instance
    from dolambda.session import Session


def log_of(admin: Account, *, until: str) -> str:
    """The function's log once it holds ``until``; its events arrive a moment after the
    invocation.
    """
    logs = admin.client("logs")
    deadline = time.monotonic() + 20
    text = ""
    while until not in text and time.monotonic() < deadline:
        text = "\n".join(
            event["message"]
            for event in logs.filter_log_events(logGroupName="/aws/lambda/dolambda")["events"]
        )
        time.sleep(0.1)
    return text


def test_garbage_put_under_jobs_harms_nothing_and_is_reported(
    session: Session, admin: Account
) -> None:
    assert session.bucket is not None
    name = f"jobs/garbage-{time.time_ns()}"
    session.bucket.put(name, b"no job of ours")
    assert name in log_of(admin, until=name)
    log = log_of(admin, until="its name is not that of a job")
    assert "refused: its name is not that of a job" in log
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
def test_a_tampered_job_is_refused_before_it_is_unpickled(
    session: Session, tmp_path: Path, signed_with: str
) -> None:
    mark = tmp_path / "mark"
    run = keys.run_name(keys.new_client_id(), 0)
    sent = job((str, (LeavesAMark(mark),)), run=run)
    key = session.key if signed_with == "this stack's key" else b"x" * 32
    assert session.bucket is not None
    session.bucket.put(keys.job_key(run, 0), sent.to_bytes(key))
    deadline = time.monotonic() + 20
    while session.bucket.age(keys.reply_key(run, 0)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    reply = Reply.from_bytes(session.bucket.get(keys.reply_key(run, 0)), session.key)
    session.bucket.delete([keys.job_key(run, 0), keys.reply_key(run, 0)])
    assert mark.exists() is (
        signed_with == "this stack's key"
    )  # so the mark does work, when it is let
    if signed_with == "another key":
        assert reply.refusal
        assert reply.refusal.reason == "refused"
        assert "not signed with this stack's key" in reply.refusal.detail


@pytest.mark.parametrize("content", ["replaced", "as named"])
@pytest.mark.parametrize("part", ["function", "argument of the function", "code"])
def test_a_blob_replaced_in_the_bucket_is_refused_before_it_is_unpickled_or_imported(
    session: Session, tmp_path: Path, part: str, content: str
) -> None:
    """What a signed job names by digest: the oracle is the same content under its own name."""
    mark = tmp_path / "mark"
    hostile = {
        "function": bytes(4) + cloudpickle.dumps(LeavesAMark(mark)),
        "argument of the function": cloudpickle.dumps(LeavesAMark(mark))
        + os.urandom(70_000),  # random: the disk may know no such blob
        "code": make_zip({"left_by_a_blob.py": f"open({str(mark)!r}, 'w').close()\n".encode()}),
    }[part] + (os.urandom(8) if part != "code" else b"")
    digest = hashlib.sha256(hostile if content == "as named" else os.urandom(32)).hexdigest()
    unpickle, imports = cloudpickle.dumps(pickle.loads), cloudpickle.dumps(importlib.import_module)
    function = {
        "function": hostile,
        "argument of the function": bytes(4) + unpickle,
        "code": bytes(4) + imports,
    }[part]
    blob = Blob.from_bytes(function)
    arguments: tuple[Any, ...] = {
        "function": (),
        "argument of the function": (pickle.PickleBuffer(b""),),
        "code": ("left_by_a_blob",),
    }[part]
    apart: list[pickle.PickleBuffer] = []
    payload = pickle.dumps(arguments, protocol=5, buffer_callback=apart.append)
    named = digest if part == "function" else blob.digest
    ends = array(OFFSET, [len(payload)])
    # Without keywords.
    chunk = Chunk(0, named, False, ends, payload, {0: (digest,)} if apart else {})  # noqa: FBT003
    run = keys.run_name(keys.new_client_id(), 0)
    inline = {} if part == "function" else {blob.digest: blob.data}
    code = digest if part == "code" else None
    sent = job_of([chunk], run=run, inline=inline, code=code)
    assert session.bucket is not None
    session.bucket.put(keys.blob_key(digest), hostile)
    session.bucket.put(keys.job_key(run, 0), sent.to_bytes(session.key))
    deadline = time.monotonic() + 20
    while session.bucket.age(keys.reply_key(run, 0)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    reply = Reply.from_bytes(session.bucket.get(keys.reply_key(run, 0)), session.key)
    session.bucket.delete([keys.job_key(run, 0), keys.reply_key(run, 0)])
    assert mark.exists() is (content == "as named")
    if content == "replaced":
        failed = reply.outcomes[0].open()
        assert isinstance(failed, Failure)
        assert isinstance(failed.exception, EnvelopeError)
        assert "does not match its name" in str(failed.exception)


@pytest.mark.parametrize("signed_with", ["another key", "nothing", "this stack's key"])
def test_a_reply_put_by_someone_else_is_refused_before_it_is_unpickled(
    session: Session, admin: Account, tmp_path: Path, signed_with: str
) -> None:
    """Whoever may write under outs/ is there first; the worker then does not overwrite it."""
    with (
        LambdaExecutor() as executor
    ):  # a cold worker would put its reply after the end of the test
        assert executor.submit(len, "ab").result(60) == 2
    mark = tmp_path / "mark"
    transport = session.transport
    sent = transport.send
    bucket = session.bucket.name if session.bucket else ""

    def overtaken(job: SealedJob, on_reply: OnReply) -> None:
        outcome = PackedOutcome.from_value(0, LeavesAMark(mark), 0.0)
        table = OutcomeTable.from_outcomes([outcome])
        forged = Reply(job.run, job.number, 1, table)
        sealed = forged.to_bytes(session.key if signed_with == "this stack's key" else b"x" * 32)
        sealed = cloudpickle.dumps(LeavesAMark(mark)) if signed_with == "nothing" else sealed
        admin.client("s3").put_object(
            Bucket=bucket, Key=keys.reply_key(job.run, job.number), Body=sealed
        )
        sent(job, on_reply)

    transport.send = overtaken  # type: ignore[method-assign] # the attacker
    with LambdaExecutor() as executor:
        future: Future[Any] = executor.submit(len, "abc")
        if signed_with == "this stack's key":
            future.result(30).close()
        else:
            with pytest.raises(LostError, match="its reply was refused") as caught:
                future.result(30)
            assert isinstance(caught.value, JobRefusedError) is (signed_with == "another key")
    assert mark.exists() is (
        signed_with == "this stack's key"
    )  # so the mark does work, when it is let


def test_a_layer_replaced_on_its_way_is_removed_and_the_deploy_ends(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large layers go through the bucket; another who may write there could slip his own in."""
    monkeypatch.setattr("dolambda.provision.layer._DIRECT", 0)
    settings, account = root(instance, Settings(stack="replaced", requires=("cloudpickle",)))
    s3, awslambda = account.client("s3"), account.client("lambda")

    def replace_zip(_service: str, operation: str, params: dict[str, Any]) -> None:
        if operation == "PublishLayerVersion":
            s3.put_object(
                Bucket=params["Content"]["S3Bucket"],
                Key=params["Content"]["S3Key"],
                Body=make_zip({"evil.py": b""}),
            )

    account.intercept(replace_zip)
    with pytest.raises(
        ProvisionError,
        match=r"was replaced in bucket .*, so the layer was removed\n  Find out who",
    ):
        deploy(resources(account, settings, here=True))
    account.intercept(lambda *_: None)
    assert not [one for one in awslambda.list_layers()["Layers"] if "replaced-" in one["LayerName"]]
    deploy(resources(account, settings, here=True))
    (layer,) = [one for one in awslambda.list_layers()["Layers"] if "replaced-" in one["LayerName"]]
    assert layer["LatestMatchingVersion"]["Version"] == 2
    destroy(resources(account, settings, here=True))


def test_a_bucket_reached_over_tls_denies_plain_http(instance: Instance) -> None:
    """The statement is put as if there were TLS; the emulator, which has none, then denies even the
    submitter's work.
    """
    settings, account = root(instance, Settings(stack="plain", requires=()))
    names, s3 = names_of(account, settings), account.client("s3")
    account.client("lambda")
    account.endpoint_url = "https://as-if"
    for change in Bucket(account, names).changes():
        change.apply()
    iam = root(instance, settings)[1].client("iam")
    iam.create_user(UserName="plain")
    made = iam.create_access_key(UserName="plain")["AccessKey"]
    iam.put_user_policy(
        UserName="plain", PolicyName="p", PolicyDocument=json.dumps(policies.submitter(names))
    )
    theirs = Account.from_settings(
        settings, Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    ).client("s3")
    with pytest.raises(ClientError, match="AccessDenied"):
        theirs.put_object(Bucket=names.bucket, Key="blobs/probe", Body=b"")
    s3.delete_bucket_policy(Bucket=names.bucket)
    theirs.put_object(Bucket=names.bucket, Key="blobs/probe", Body=b"")
    s3.delete_object(Bucket=names.bucket, Key="blobs/probe")
    s3.delete_bucket(Bucket=names.bucket)


def test_a_job_replaced_in_the_bucket_is_refused_to_the_user(session: Session) -> None:
    """An attacker who overwrites the job's object: the user gets an error that says so, and at
    once.
    """
    transport = session.transport
    sent = transport.send

    def tampered(job: SealedJob, on_reply: OnReply) -> None:
        sent(
            SealedJob(job.run, job.number, job.data[:-1] + bytes([job.data[-1] ^ 1]), job.blobs),
            on_reply,
        )

    transport.send = tampered  # type: ignore[method-assign] # the attacker
    with (
        LambdaExecutor() as executor,
        pytest.raises(JobRefusedError, match="not signed with this stack's key"),
    ):
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
def test_the_worker_can_do_no_more_than_its_work(
    session: Session, action: Any, allowed: bool
) -> None:
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
        assert executor.submit(on_the_worker).result(30) == (
            "allowed" if allowed else "AccessDenied"
        )
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
        (
            {"key": "AKIDUNKNOWN", "secret": "x"},
            ConfigurationError,
            "does not know these credentials",
        ),
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
    right = {
        "region": settings.region,
        "endpoint_url": settings.endpoint_url,
        "key": credentials.key,
        "secret": credentials.secret,
    }
    with pytest.raises(error, match="\n  ") as caught:
        register(**(right | wrong))
    assert says in str(caught.value)
    assert str(credentials.secret) not in str(caught.value)


def test_a_stack_that_does_not_stand_is_not_deployed(instance: Instance) -> None:
    settings, _ = root(instance, Settings(stack="no-such-stack"))
    with pytest.raises(
        NotDeployedError,
        match=r"there is no stack 'no-such-stack' in us-east-1.*\n  Run `dolambda deploy`",
    ):
        register(
            stack="no-such-stack",
            region=settings.region,
            endpoint_url=settings.endpoint_url,
            key=instance.key,
            secret=instance.secret,
        )


def test_a_submitter_of_another_stack_is_told_what_it_lacks(
    deployed: tuple[Settings, Credentials], admin: Account
) -> None:
    settings, _ = deployed
    iam = admin.client("iam")
    iam.create_user(UserName="stranger")
    made = iam.create_access_key(UserName="stranger")["AccessKey"]
    with pytest.raises(AccessDeniedError, match="lambda:GetFunctionConfiguration"):
        register(
            region=settings.region,
            endpoint_url=settings.endpoint_url,
            key=made["AccessKeyId"],
            secret=made["SecretAccessKey"],
        )


def test_no_test_has_real_credentials() -> None:
    assert not [
        name
        for name in os.environ
        if name.startswith("AWS_") and name != "AWS_EC2_METADATA_DISABLED"
    ]
