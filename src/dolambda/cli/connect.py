"""The stack of a command: on AWS, or in the AWS emulated on this machine.

**Input:** settings, and whether --local was given. **Output:** a `Target`: settings and an account
that lead to that stack. With no credentials at all, a running `dolambda local start` is used, and
one line on standard error says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import (
    Account,
    Credentials,
    default_region,
    has_credentials,
    translated,
)
from dolambda.aws.partitions import account_in
from dolambda.errors import ConfigurationError, LocalAwsError, NotDeployedError
from dolambda.local.instance import Instance
from dolambda.local.stack import contents_in, is_named_after, name_by_contents, root
from dolambda.progress.notices import notice
from dolambda.provision.deploy import contents_of
from dolambda.settings import Settings
from dolambda.wire import signing_keys
from dolambda.wording import count, listing

if TYPE_CHECKING:
    from dolambda.environment.layer import Contents

LOCAL = "local"
_START = "`dolambda local start` starts one."


@dataclass(frozen=True)
class Target:
    """Settings and account of one stack. ``instance`` is the emulated AWS, if it is in one."""

    settings: Settings
    account: Account
    instance: Instance | None = None

    @property
    def credentials(self) -> Credentials:
        """Credentials for a session on the stack."""
        return Credentials(session=self.account.session)

    @property
    def place(self) -> str:
        """The stack's place, for a message."""
        if self.instance:
            return "the AWS emulated on this machine"
        return self.account.region


def connect(*, local: bool, stack: str | None = None, **options: object) -> Target:
    """Return the account and the stack that the options of a command lead to.

    Raises:
        ConfigurationError: There are neither credentials nor an emulated AWS.
        LocalAwsError: The emulated AWS is asked for, and is not running.
    """
    settings, instance = _resolved(local, stack, options)
    if instance is None:
        return Target(settings, Account.from_settings(settings), _behind(settings))
    there, account = root(instance, settings)
    name = _choose(instance, account, settings)
    return Target(replace(there, stack=name), account, instance)


def connect_to_print(*, local: bool, stack: str | None = None, **options: Any) -> Target:
    """Return what `connect` does or, without credentials, an account of placeholders."""
    settings = Settings.resolve(stack=stack, **options)
    if local or settings.stack == LOCAL or Instance.find_shared():
        return connect(local=local, stack=stack, **options)
    return Target(settings, account_to_print(settings))


def account_to_print(settings: Settings) -> Account:
    """Return the account or, without credentials, one whose number and region are placeholders.

    A role or a permissions boundary in the settings names the account.
    """
    if settings.profile or settings.endpoint_url or has_credentials():
        return Account.from_settings(settings)
    named = (settings.role, settings.permissions_boundary)
    number = next(filter(None, (account_in(arn or "") for arn in named)), "ACCOUNT")
    region = settings.region or default_region() or "REGION"
    missing = [name for name in ("ACCOUNT", "REGION") if name in (number, region)]
    if missing:
        stand = "stands" if len(missing) == 1 else "stand"
        notice(f"no AWS credentials were found: {' and '.join(missing)} {stand} for yours")
    return Account.placeholder(number, region)


def connect_to_deploy(
    *, local: bool, stack: str | None = None, **options: Any
) -> tuple[Target, Contents]:
    """Return the account and the stack that these settings would deploy, with its contents.

    In an emulated AWS that several programs share, a stack's name depends on its contents.
    """
    settings, instance = _resolved(local, stack, options)
    if instance is None:
        account = Account.from_settings(settings)
        behind = _behind(settings)
        if behind:
            settings = replace(settings, workers=behind.workers)
        contents = contents_in(behind, settings) if behind else contents_of(settings, here=False)
        return Target(settings, account, behind), contents
    contents = contents_in(instance, settings)
    there, account = root(instance, settings)
    if settings.stack not in stacks(account):
        there = replace(there, stack=name_by_contents(settings, contents))
    return Target(there, account, instance), contents


def running_instance() -> Instance:
    """Return the emulated AWS of `dolambda local start`.

    Raises:
        LocalAwsError: None is running, or it does not fit this program.
    """
    instance = Instance.find_shared()
    if instance is None:
        raise LocalAwsError("no emulated AWS is running on this machine", hint=_START)
    if instance.misfit:
        raise LocalAwsError(
            f"the emulated AWS of `dolambda local start` {instance.misfit}",
            hint="`dolambda local stop` ends it, `dolambda local start` starts a suitable one.",
        )
    return instance


def stacks(account: Account) -> list[str]:
    """Return the names of the stacks in an account, sorted."""
    with translated():
        pages = list(account.client("lambda").get_paginator("list_functions").paginate())
    return sorted(
        function["FunctionName"]
        for page in pages
        for function in page["Functions"]
        if signing_keys.KEY in (function.get("Environment") or {}).get("Variables", {})
    )


def choose_local(instance: Instance, settings: Settings) -> str:
    """Return the name of the stack in an emulated AWS that these settings lead to."""
    return _choose(instance, root(instance, settings)[1], settings)


def refuse_local(settings: Settings) -> None:
    """Raise `ConfigurationError` for "local" as the name of a stack on AWS."""
    if settings.stack == LOCAL:
        raise ConfigurationError(
            "stack='local' means the AWS emulated on this machine, which this command does not "
            "support",
            hint="`dolambda local start` deploys into it, `dolambda local stop` removes it.",
        )


def _resolved(
    local: bool,
    stack: str | None,
    options: dict[str, Any],
) -> tuple[Settings, Instance | None]:
    """Return the settings, and the emulated AWS if they lead to it."""
    settings = Settings.resolve(stack=stack, **options)
    if local or settings.stack == LOCAL:
        _refuse_elsewhere(options)
        if settings.stack == LOCAL:
            settings = replace(settings, stack=Settings.stack)
        return settings, running_instance()
    if settings.region or settings.profile or settings.endpoint_url or has_credentials():
        return settings, None
    if Instance.find_shared() is None:
        raise ConfigurationError(
            "no AWS credentials were found, and no emulated AWS is running",
            hint="Run `aws configure`, or `dolambda local start` for AWS emulated on this machine.",
        )
    instance = running_instance()
    notice("no AWS credentials found; using the AWS emulated on this machine (--local)")
    return settings, instance


def _refuse_elsewhere(options: dict[str, Any]) -> None:
    for name in ("region", "profile", "endpoint_url"):
        if options.get(name) is not None:
            raise ConfigurationError(
                f"{name}={options[name]!r} was given together with --local",
                hint="Leave one of them out: --local is the AWS emulated on this machine.",
            )


def _behind(settings: Settings) -> Instance | None:
    """Return the shared emulated AWS if endpoint_url leads to it, as after `dolambda local env`."""
    instance = Instance.find_shared() if settings.endpoint_url else None
    matches = instance is not None and instance.endpoint_url == settings.endpoint_url
    return instance if matches else None


def _choose(instance: Instance, account: Account, settings: Settings) -> str:
    """Return the named stack, otherwise the only one, otherwise that of these settings."""
    there = stacks(account)
    if settings.stack in there:
        return settings.stack
    fitting = [name for name in there if is_named_after(name, settings.stack)]
    if not fitting and settings.stack == Settings.stack:
        fitting = there
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise NotDeployedError(
            f"there is no stack {settings.stack!r} in the AWS emulated on this machine",
            hint=(
                f"There {'is' if len(there) == 1 else 'are'} {listing(there)}: name one by --stack."
            )
            if there
            else "`dolambda local stop` and `dolambda local start` deploy one.",
        )
    ours = name_by_contents(settings, contents_in(instance, settings))
    if ours in fitting:
        return ours
    raise ConfigurationError(
        f"the AWS emulated on this machine has {count(len(fitting), 'stack')}: {listing(fitting)}",
        hint="Name one by --stack.",
    )
