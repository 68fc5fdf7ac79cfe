"""Credentials with the printed submitter policy as their only permissions."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import Account, Credentials, translated
from dolambda.aws.partitions import partition_of
from dolambda.errors import AwsError, DolambdaError
from dolambda.provision import policies
from dolambda.provision.deploy import names_of
from support.first_hour.hour import SkippedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.provision.names import Names
    from dolambda.settings import Settings

MOST_CHARACTERS = 2048
"""AWS's limit for the policy of a session."""
_SECONDS = 3600
_PATIENCE_S = 90
"""Seconds until IAM has made a new role known everywhere."""


def session_policy(names: Names) -> str:
    """Return the printed policy without white space."""
    return json.dumps(policies.submitter(names), separators=(",", ":"))


@contextmanager
def submitting(account: Account, settings: Settings) -> Iterator[Credentials]:
    """Have a submitter: a session of the present IAM user, or of a role that exists meanwhile.

    Raises:
        SkippedError: AWS refuses both.
    """
    try:
        found = federated(account, settings)
    except DolambdaError as error:  # AWS has them for the keys of an IAM user only
        with _role(account, settings, str(error)) as found:
            yield found
    else:
        yield found


def federated(account: Account, settings: Settings) -> Credentials:
    """Return a session of the present IAM user, narrowed to the policy."""
    with translated():
        return _credentials(
            account.client("sts").get_federation_token(
                Name="dolambda-submitter",
                Policy=session_policy(names_of(account, settings)),
                DurationSeconds=_SECONDS,
            )
        )


@contextmanager
def _role(account: Account, settings: Settings, refused: str) -> Iterator[Credentials]:
    """Have a session of a role, for who is a role too, as with SSO."""
    try:
        remove_role(account, settings)  # of an hour that was killed
        found = assumed(account, settings)
    except DolambdaError as error:
        with suppress(DolambdaError):  # denied as well
            remove_role(account, settings)
        raise SkippedError(f"no session of a submitter: {refused}; {error}") from error
    try:
        yield found
    finally:
        remove_role(account, settings)


def assumed(account: Account, settings: Settings) -> Credentials:
    """Create a role with the policy, and return a session of it once both are in force."""
    names, iam, role = names_of(account, settings), account.client("iam"), role_of(settings)
    everyone_here = partition_of(names.region).arn("iam", "root", account=names.account)
    trust = {"Effect": "Allow", "Principal": {"AWS": everyone_here}, "Action": "sts:AssumeRole"}
    with translated():
        arn = iam.create_role(
            RoleName=role,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )["Role"]["Arn"]
        iam.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=session_policy(names))

    def ask() -> Credentials:
        with translated():
            made = _credentials(
                account.client("sts").assume_role(RoleArn=arn, RoleSessionName="dolambda-submitter")
            )
            theirs = Account.from_settings(settings, made)
            theirs.client("lambda").get_function_configuration(FunctionName=names.stack)
            theirs.client("s3").list_objects_v2(Bucket=names.bucket, Prefix="jobs/", MaxKeys=1)
            return made

    return _once_allowed(ask)


def remove_role(account: Account, settings: Settings) -> None:
    """Remove the role of `assumed`, if there is one."""
    iam, role = account.client("iam"), role_of(settings)
    gone = iam.exceptions.NoSuchEntityException
    with translated():
        with suppress(gone):
            iam.delete_role_policy(RoleName=role, PolicyName=role)
        with suppress(gone):
            iam.delete_role(RoleName=role)


def role_of(settings: Settings) -> str:
    """Return the name of the role of `assumed`."""
    return f"{settings.stack}-submitter"


def _once_allowed(ask: Callable[[], Credentials]) -> Credentials:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return ask()
        except AwsError:
            if time.monotonic() > deadline:
                raise
        time.sleep(2)


def _credentials(answer: dict[str, Any]) -> Credentials:
    made = answer["Credentials"]
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
