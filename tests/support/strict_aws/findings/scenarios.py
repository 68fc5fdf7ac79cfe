"""What a user does where the audit found a break, one function a finding.

Run by path in the environment of any version since 0.1: it uses only what all of them have.

**Input:** the name of a scenario; the endpoint and root keys of a strict AWS in the environment.
**Output:** exit code 0 if it goes as it should; else the error, on standard error.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3

from dolambda import LambdaExecutor
from dolambda.aws.account import Account, Credentials
from dolambda.aws.objects import Bucket
from dolambda.errors import DolambdaError
from dolambda.provision import policies
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.session import Session
from dolambda.settings import Settings

_WITHIN = 25
_ALL = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
_KEYS = ("STRICT_KEY", "STRICT_SECRET")
_SESSION = ("AccessKeyId", "SecretAccessKey", "SessionToken")


class Stack:
    """A stack with a deployer and a submitter."""

    def __init__(self, name: str, **more: Any) -> None:
        settings = Settings(
            stack=name,
            endpoint_url=os.environ["STRICT_ENDPOINT"],
            timeout=30,
            progress=False,
            **{"requires": (), "region": "us-east-1", **more},
        )
        self.settings = settings
        self.root = Account.from_settings(settings, Credentials(*map(os.environ.get, _KEYS)))

    def user(self, role: str, settings: Settings, *, printed: bool = False) -> Credentials:
        """Return keys of a user who has one of the printed policies, or may do everything."""
        iam, name = self.client("iam"), f"{settings.stack}-{role}"
        policy = getattr(policies, role)(names_of(self.root, settings)) if printed else _ALL
        if name not in [one["UserName"] for one in iam.list_users()["Users"]]:
            iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=role, PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(made["AccessKeyId"], made["SecretAccessKey"])

    def client(self, service: str) -> Any:
        """Return the root user's client, whom no rule minds."""
        key, secret = map(os.environ.get, _KEYS)
        url = os.environ["STRICT_ENDPOINT"]
        return boto3.Session(key, secret, region_name=self.settings.region).client(
            service, endpoint_url=url
        )

    def deployer(self, **changes: Any) -> tuple[Account, Settings]:
        settings = replace(self.settings, **changes)
        return Account.from_settings(settings, self.user("deployer", settings)), settings

    def deploy(self, **changes: Any) -> int:
        account, settings = self.deployer(**changes)
        return deploy(resources(account, settings, here=True))

    def destroy(self, **changes: Any) -> None:
        account, settings = self.deployer(**changes)
        destroy(resources(account, settings, here=True))

    def ask(self, function: Any, *given: Any, printed: bool = False) -> Any:
        """Return a task's result, which has to come soon."""
        submitter = self.user("submitter", self.settings, printed=printed)
        with Session.open(self.settings, submitter) as session:
            executor = LambdaExecutor(session=session)
            try:
                return executor.submit(function, *given).result(_WITHIN)
            finally:
                executor.shutdown(wait=False, cancel_futures=True)


def a_large_layer_on_a_home_line() -> None:
    """A1: numpy's layer takes 11 s on a line of 2 MB/s."""
    Stack("a1", requires=("numpy",)).deploy()


def a_package_more() -> None:
    """A2: a large package is added, which comes between those whose layers are there."""
    stack = Stack("a2", requires=("joblib", "numpy"))
    stack.deploy()
    stack.deploy(requires=("joblib", "numpy", "scipy"))


def a_large_argument_of_a_submitter() -> None:
    """A3: an argument that is not in the bucket yet, with the submitter's policy."""
    import numpy as np  # noqa: PLC0415 - arrays leave the pickle

    stack = Stack("a3", requires=("numpy",))
    stack.deploy()
    content = np.frombuffer(os.urandom(400_000), dtype=np.uint8)
    if stack.ask(len, content, printed=True) != len(content):
        raise AssertionError("another length")


def a_first_deploy() -> None:
    """A4, B7: role and bucket are not known everywhere at once."""
    stack = Stack(f"first-{secrets.token_hex(3)}")  # two findings have no stack in common
    stack.deploy()
    if stack.deploy():
        raise AssertionError("the second deploy changes something")


def a_long_task_while_s3_throttles() -> None:
    """A5: the worker polls whether its job is still wanted, and S3 answers 503."""
    stack = Stack("a5")
    stack.deploy()
    if stack.ask(_slept, 6) != 6:
        raise AssertionError("another answer")


def _slept(seconds: int) -> int:
    time.sleep(seconds)
    return seconds


def a_first_job_right_after_deploy() -> None:
    """A6: the role's policy comes into force seconds after it was put."""
    stack = Stack("a6")
    stack.deploy()
    stack.ask(abs, -1)


def a_new_account() -> None:
    """A7: an account with 10 concurrent executions gets no more jobs in flight than it can run."""
    stack = Stack("a7")
    stack.deploy()
    found = stack.client("lambda").get_function_configuration(FunctionName="a7")
    width = int(found["Environment"]["Variables"]["DOLAMBDA_WORKERS"])
    if width > 10:
        raise AssertionError(f"{width} jobs in flight on an account of 10 executions")


def a_reservation_that_is_too_large() -> None:
    """A8: what cannot be is refused before anything is made."""
    stack = Stack("a8")
    try:
        stack.deploy(concurrency=5)
    except DolambdaError:
        pass
    else:
        raise AssertionError("5 of 10 executions were reserved")
    functions = [
        one["FunctionName"] for one in stack.client("lambda").list_functions()["Functions"]
    ]
    if "a8" in functions:
        raise AssertionError("the function was made, and then its reservation was refused")


def another_bucket() -> None:
    """A9: the trigger's permission names the bucket of before."""
    stack = Stack("a9")
    stack.deploy()
    stack.client("s3").create_bucket(Bucket="my-other-bucket")
    stack.deploy(bucket="my-other-bucket")


def a_deploy_while_an_update_is_in_progress() -> None:
    """B5: the deploy before was killed; Lambda is not done with its change."""
    stack = Stack("b5")
    stack.deploy()
    account, settings = stack.deployer()
    account.client("lambda").update_function_configuration(FunctionName="b5", MemorySize=1024)
    deploy(resources(account, replace(settings, memory=512), here=True))


def a_role_with_an_attached_policy() -> None:
    """B8: destroy removes a role to which someone attached a policy."""
    stack = Stack("b8")
    stack.deploy()
    iam = stack.client("iam")
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
    }
    made = iam.create_policy(PolicyName="of-someone", PolicyDocument=json.dumps(document))
    role = names_of(stack.root, stack.settings).role
    iam.attach_role_policy(RoleName=role, PolicyArn=made["Policy"]["Arn"])
    stack.destroy()


def a_bucket_of_another_account() -> None:
    """B9: the name that we would take belongs to a stranger, whose policy lets everybody in."""
    stack = Stack("b9")
    bucket = names_of(stack.root, stack.settings).bucket
    stack.client("s3").create_bucket(Bucket=bucket)
    try:
        stack.deploy()
    except DolambdaError:
        return
    raise AssertionError("the stack uses a bucket of another account")


def the_logs() -> None:
    """B11: `dolambda logs` with the policies that are printed."""
    stack = Stack("b11")
    stack.deploy()
    group = names_of(stack.root, stack.settings).log_group
    for role in ("deployer", "submitter"):
        keys = stack.user(role, stack.settings, printed=True)
        account = Account.from_settings(stack.settings, keys)
        account.client("logs").filter_log_events(logGroupName=group)


def a_job_whose_requests_stall() -> None:
    """B13: S3 answers the first request for each object with 400 RequestTimeout."""
    stack = Stack("b13")
    stack.deploy()
    stack.ask(abs, -1)


def a_queue_that_is_told_of_the_same_objects() -> None:
    """B10: S3 takes no two rules for one object, whatever they notify; known before anything is
    made.
    """
    stack = Stack("b10")
    s3 = stack.client("s3")
    s3.create_bucket(Bucket="of-someone")
    queue = "arn:aws:sqs:us-east-1:000000000000:theirs"
    rule = {"QueueArn": queue, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket="of-someone",
        NotificationConfiguration={"QueueConfigurations": [rule]},
        SkipDestinationValidation=True,
    )
    try:
        stack.deploy(bucket="of-someone")
    except DolambdaError as error:
        if "already notifies" not in str(error):
            raise
    else:
        raise AssertionError("the queue's rule and ours overlap")
    if "b10" in [
        one["FunctionName"] for one in stack.client("lambda").list_functions()["Functions"]
    ]:
        raise AssertionError("the function was made, and then its trigger was refused")


def the_doctor_of_a_role() -> None:
    """B12: who logs in by SSO has a role's session, whose ARN IAM does not simulate."""
    stack = Stack("b12")
    stack.deploy()
    trusted = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    iam = stack.client("iam")
    made = iam.create_role(RoleName="people", AssumeRolePolicyDocument=document)
    iam.put_role_policy(RoleName="people", PolicyName="all", PolicyDocument=json.dumps(_ALL))
    session = stack.client("sts").assume_role(
        RoleArn=made["Role"]["Arn"], RoleSessionName="somebody"
    )["Credentials"]
    keys = Credentials(*(session[name] for name in _SESSION))
    account = Account.from_settings(stack.settings, keys)
    doctor = importlib.import_module(
        "dolambda.cli.doctor"
    )  # the package has a function of that name
    print(doctor._permissions(account, stack.settings))


def a_run_of_many_jobs_ends() -> None:
    """B15: S3 counts each key that is removed as a write, and names those that it refuses."""
    stack = Stack("b15")
    stack.deploy()
    account, settings = stack.deployer()
    bucket = Bucket.from_account(account, names_of(account, settings).bucket)
    bucket.delete([f"jobs/of-a-run/{number:09}" for number in range(4_000)])


def a_layer_of_almost_50_megabytes() -> None:
    """B18: a zip of 50 MiB is too large for a request, by what is around it."""
    from dolambda.environment.layer import Archive, Contents  # noqa: PLC0415 - slow

    def archive(size: int) -> Archive:
        return Archive(["large"], {"python/large.bin": bytes(size)}, size, compress=False)

    around = len(archive(0).content)
    layer = archive((50 << 20) - 20 - around)
    stack = Stack("b18")
    account, settings = stack.deployer()
    deploy(resources(account, settings, here=True, contents=Contents(layers=(layer,))))


def more_memory_than_a_new_account_allows() -> None:
    """B19: the message has to say that it is the account's limit, and what to do."""
    try:
        Stack("b19").deploy(memory=3538)
    except DolambdaError as error:
        if "new aws account" not in str(error).lower():
            raise


def a_destroy_with_requirements() -> None:
    """A10: `dolambda destroy` where the settings name a requirements file."""
    stack = Stack("a10")
    stack.deploy()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("attrs\n")
        file.flush()
        keys = stack.user("deployer", stack.settings)
        chosen = {
            "AWS_ACCESS_KEY_ID": str(keys.key),
            "AWS_SECRET_ACCESS_KEY": str(keys.secret),
            "AWS_DEFAULT_REGION": "us-east-1",
            "DOLAMBDA_ENDPOINT_URL": os.environ["STRICT_ENDPOINT"],
            "DOLAMBDA_STACK": "a10",
            "DOLAMBDA_REQUIREMENTS": file.name,
        }
        environ = {**os.environ, **chosen}
        del environ["DOLAMBDA_REQUIRES"]
        dolambda = Path(sys.executable).with_name("dolambda")
        subprocess.run([dolambda, "destroy", "--yes"], env=environ, check=True, timeout=60)
    listed = stack.client("lambda").list_functions()["Functions"]
    if "a10" in [one["FunctionName"] for one in listed]:
        raise AssertionError("the function is still there")


def a_large_result() -> None:
    """B3: the worker and the task's process have the function's memory together."""
    stack = Stack("b3", memory=512)
    stack.deploy()
    try:
        stack.ask(bytes, 150 << 20)
    except DolambdaError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise


def an_update_that_fails() -> None:
    """B6: Lambda accepts an update, and cannot complete it."""
    stack = Stack("b6")
    stack.deploy()
    try:
        stack.deploy(memory=512)
    except DolambdaError as error:
        if "sufficient capacity" in str(error):
            return
        raise
    raise AssertionError("an update that failed is taken for done")


def an_environment_that_cannot_be_decrypted() -> None:
    """B16: no variables are shown, and a deploy must not make other keys."""
    stack = Stack("b16")
    deploy(resources(stack.root, stack.settings, here=True))
    client = stack.client("lambda")
    before = client.get_function_configuration(FunctionName="b16")["Environment"]
    try:
        stack.deploy()
    except DolambdaError as error:
        if "decrypt" not in str(error):
            raise
    if client.get_function_configuration(FunctionName="b16")["Environment"] != before:
        raise AssertionError("the signing key was replaced")


def a_clock_that_is_slow() -> None:
    """B22: this machine's clock is ten minutes slow, which S3 accepts."""
    stack = Stack("b22", max_wait=60)
    stack.deploy()
    real = time.time
    time.time = lambda: real() - 600
    stack.ask(abs, -1)


def an_own_layer_that_is_too_large() -> None:
    """B24: 250 MiB are for own layers too; known before anything is made."""
    stack = Stack("b24")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("lib/mine.so", b"")
    client = stack.client("lambda")
    made = client.publish_layer_version(LayerName="mine", Content={"ZipFile": file.getvalue()})
    try:
        stack.deploy(layers=(made["LayerVersionArn"],))
    except DolambdaError as error:
        if "layers= take" not in str(error):
            raise


def a_role_that_was_made_again() -> None:
    """C3: the grant to decrypt a function's environment belongs to the role of before."""
    stack = Stack("c3")
    stack.deploy()
    iam, role = stack.client("iam"), names_of(stack.root, stack.settings).role
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    iam.delete_role(RoleName=role)
    time.sleep(2)
    stack.deploy()
    created = iam.get_role(RoleName=role)["Role"]["CreateDate"]
    found = stack.client("lambda").get_function_configuration(FunctionName="c3")
    if datetime.fromisoformat(found["LastModified"]) < created:
        raise AssertionError("the function is still that of the role before")


def the_directories_of_lambda() -> None:
    """C4, C5: Lambda's user has no home; another Python looks for certificates elsewhere."""
    stack = Stack("c4", runtime="provided.al2023")
    account, settings = stack.deployer()
    deploy(resources(account, settings, here=False))
    found = stack.client("lambda").get_function_configuration(FunctionName="c4")
    missing = {"HOME", "MPLCONFIGDIR", "SSL_CERT_FILE"} - {*found["Environment"]["Variables"]}
    if missing:
        raise AssertionError(f"variables that are not set: {sorted(missing)}")


def a_stack_in_china() -> None:
    """A14: roles of another partition have other ARNs."""
    stack = Stack("a14", region="cn-north-1")
    stack.deploy()
    found = stack.client("lambda").get_function_configuration(FunctionName="a14")
    if not found["Role"].startswith("arn:aws-cn:"):
        raise AssertionError(found["Role"])


if __name__ == "__main__":
    globals()[sys.argv[1]]()
