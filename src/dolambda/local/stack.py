"""A stack in an emulated AWS. On entry: an `Instance`; on leaving: settings and credentials with which to use the stack.

The same provisioning code deploys here and on AWS. Tasks are then submitted by a user who has the submitter's policy and
nothing else, and the emulator enforces it: what works here does not work for being root.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from dolambda.aws.account import Account, Credentials
from dolambda.local.instance import REGION, Instance
from dolambda.provision import policies
from dolambda.provision.deploy import deploy, names_of, resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.provision.plan import Change
    from dolambda.settings import Settings

_USER = "submitter"


def root(instance: Instance, settings: Settings) -> tuple[Settings, Account]:
    """Settings that lead to the instance, and its root user's account."""
    there = replace(
        settings,
        region=REGION,
        endpoint_url=instance.endpoint_url,
        profile=None,
        workers=instance.workers,
    )
    return there, emulated(there, Credentials(instance.key, instance.secret))


def emulated(settings: Settings, credentials: Credentials) -> Account:
    """Return an account of the emulated AWS that these settings lead to."""
    if not (settings.endpoint_url and settings.region and credentials.key and credentials.secret):
        raise AssertionError("settings and credentials are those that `deploy_into` returned")
    return Account.emulated_at(
        settings.endpoint_url, settings.region, credentials.key, credentials.secret
    )


def deploy_into(
    instance: Instance, settings: Settings, tell: Callable[[Change], None] = lambda _: None
) -> tuple[Settings, Credentials]:
    """Deploy the stack that ``settings`` describe; give what its submitter needs."""
    there, account = root(instance, settings)
    deploy(resources(account, there, here=True), tell)
    return there, _submitter(account, there)


def _submitter(account: Account, settings: Settings) -> Credentials:
    iam = account.client("iam")
    name = f"{settings.stack}-{_USER}"
    if not any(user["UserName"] == name for user in iam.list_users()["Users"]):
        iam.create_user(UserName=name)
    policy = policies.submitter(names_of(account, settings))
    iam.put_user_policy(UserName=name, PolicyName=_USER, PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"])
