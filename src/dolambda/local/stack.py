"""A stack in an emulated AWS.

**Input:** an `Instance`. **Output:** settings and credentials for using the stack.

The same provisioning code deploys locally and on AWS. Tasks are then submitted by a user who has
only the submitter's policy, and the emulator enforces it: success does not depend on root's rights.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dolambda.aws.account import Account, Credentials
from dolambda.environment.worker_zip import worker_code
from dolambda.errors import LocalAwsError
from dolambda.local.failures import advice
from dolambda.local.instance import ACCOUNT, REGION, Instance
from dolambda.local.packages import laid_out
from dolambda.provision import policies
from dolambda.provision.deploy import contents_of, deploy, names_of, resources
from dolambda.wire.task import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.environment.layer import Contents
    from dolambda.provision.plan import Change
    from dolambda.settings import Settings

_USER = "submitter"
_KEPT_OF_NAME = 22  # of 31 characters
_DEPLOYED = (  # the settings that a stack depends on, apart from its packages
    "bucket",
    "memory",
    "timeout",
    "storage",
    "max_wait",
    "architecture",
    "runtime",
    "interpreter",
    "layers",
    "concurrency",
    "log_days",
)


def root(instance: Instance, settings: Settings) -> tuple[Settings, Account]:
    """Return settings that lead to the instance, and its root user's account."""
    there = replace(
        settings,
        region=REGION,
        role=None,
        permissions_boundary=None,
        endpoint_url=instance.endpoint_url,
        profile=None,
        workers=instance.workers,
    )
    account = emulated(there, Credentials(instance.key, instance.secret))
    account.number = ACCOUNT  # asking for it takes a client more, and 0.1 s
    return there, account


def emulated(settings: Settings, credentials: Credentials) -> Account:
    """Return an account of the emulated AWS that these settings lead to."""
    if not (settings.endpoint_url and settings.region and credentials.key and credentials.secret):
        raise AssertionError("settings and credentials are those that `deploy_into` returned")
    return Account.emulated_at(
        settings.endpoint_url, settings.region, credentials.key, credentials.secret
    )


def deploy_into(
    instance: Instance,
    settings: Settings,
    tell: Callable[[Change], None] = lambda _: None,
    *,
    show: Callable[[str], object] = lambda _: None,
) -> tuple[Settings, Credentials]:
    """Deploy the stack that ``settings`` describe.

    In an instance that several programs use, the stack's name depends on its contents: programs
    that want the same contents share a stack, and nobody changes another's.

    Args:
        instance: The emulated AWS. It need not respond yet.
        settings: The settings of the stack.
        tell: Called with each change.
        show: Called with the name of each step.

    Returns:
        Settings and credentials of the stack's submitter.
    """
    show("laying out packages for workers")
    contents = contents_in(instance, settings)
    if not instance.is_shared:
        instance.when_ready(show)
    show("deploying into the emulated AWS")
    if instance.is_shared:
        settings = replace(settings, stack=name_by_contents(settings, contents))
    there, account = root(instance, settings)
    with instance.deploying():
        deploy(resources(account, there, here=True, contents=contents), tell)
        return there, _submitter(account, there)


def contents_in(instance: Instance, settings: Settings) -> Contents:
    """Return the contents of workers, laid out where an instance finds them."""
    try:
        return laid_out(contents_of(settings, here=True), instance.cache)
    except OSError as error:
        said = f"{error.strerror or error}: {error.filename or instance.cache}"
        raise LocalAwsError(
            f"packages could not be laid out for workers: {said}", hint=advice("caching", said)
        ) from error


def name_by_contents(settings: Settings, contents: Contents) -> str:
    """Return a name for a stack that differs if its contents differ."""
    archives = [*contents.layers, *([contents.bundle] if contents.bundle else [])]
    parts = [PYTHON, worker_code(), *contents.requires, *(one.digest for one in archives)]
    parts += [f"{name}={getattr(settings, name)!r}" for name in _DEPLOYED]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"{_stem(settings.stack)}-{digest[:8]}"


def is_named_after(name: str, stack: str) -> bool:
    """Return whether `name_by_contents` made ``name`` from settings with ``stack``."""
    return re.fullmatch(rf"{re.escape(_stem(stack))}-[0-9a-f]{{8}}", name) is not None


def _stem(stack: str) -> str:
    return stack[:_KEPT_OF_NAME].rstrip("-")


def _submitter(account: Account, settings: Settings) -> Credentials:
    iam = account.client("iam")
    name = f"{settings.stack}-{_USER}"
    if not any(user["UserName"] == name for user in iam.list_users()["Users"]):
        iam.create_user(UserName=name)
    policy = policies.submitter(names_of(account, settings))
    iam.put_user_policy(UserName=name, PolicyName=_USER, PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"])
