"""Plan, deploy, destroy: all resources in order, or in reverse.

**Input:** an account and settings. **Output:** the stack as wanted, or removed. Each change is
reported when it is made.

Both can be killed at any step and run again: every step first checks the present state.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from dolambda.environment.compiled_layers import with_bytecode
from dolambda.environment.debian import this_architecture
from dolambda.environment.layer import MOST_LAYERS, Platform, build
from dolambda.environment.r_layers import LAYERS, r_for, with_r
from dolambda.environment.requirements import from_file
from dolambda.provision.bucket import Bucket, FormerBucket
from dolambda.provision.bundle import Bundle, StaleBundles
from dolambda.provision.concurrency import Concurrency
from dolambda.provision.function import Function
from dolambda.provision.layer import Layers, StaleLayers
from dolambda.provision.limits import limits_of
from dolambda.provision.log_group import LogGroup
from dolambda.provision.names import Names
from dolambda.provision.own_layers import OwnLayers
from dolambda.provision.panic import NotInPanic
from dolambda.provision.role import Role
from dolambda.provision.trigger import Trigger
from dolambda.provision.tuning import TuneLeftovers
from dolambda.wire.task import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.environment.layer import Contents
    from dolambda.provision.limits import Limits
    from dolambda.provision.plan import Change, Resource
    from dolambda.settings import Settings

_WORKERS = 100
_MOST_WORKERS = 100_000
_AMAZON_LINUX = {
    "3.11": "manylinux_2_17"
}  # on Amazon Linux 2; later Pythons run on Amazon Linux 2023
_AMAZON_LINUX_2023 = "manylinux_2_34"


def names_of(account: Account, settings: Settings) -> Names:
    """Return the names of everything in the stack, after a request for the account's number."""
    return Names.of(
        settings.stack,
        account.region,
        account.number,
        settings.bucket,
        settings.role,
        settings.layers,
    )


def resources(
    account: Account, settings: Settings, *, here: bool, contents: Contents | None = None
) -> list[Resource]:
    """Return all resources of a stack, in order.

    ``here`` is True if it runs on this machine, emulated. For ``contents`` see `contents_of`.
    """
    names, architecture = names_of(account, settings), settings.architecture or this_architecture()
    runtime = settings.runtime or f"python{PYTHON}"
    contents = contents or contents_of(settings, here=here)
    layers = Layers(account, names, contents.layers, runtime)
    bundle = Bundle(account, names, contents.bundle)
    role = Role(account, names, settings.permissions_boundary)
    limits = cache(lambda: limits_of(account, names.stack))  # requested when something is deployed
    function = Function(
        account,
        names,
        settings,
        runtime=runtime,
        architecture=architecture,
        workers=lambda: _width(settings, limits),
        contents=contents,
        layer_arns=layers.arns,
        here=here,
        role_created=role.created,
    )
    return [
        NotInPanic(account, names),
        OwnLayers(account, settings.layers, contents),
        # First created and last removed: it may contain other objects, and then stays.
        Bucket(account, names),
        FormerBucket(account, names),
        LogGroup(account, names, days=settings.log_days),
        role,
        layers,
        bundle,
        function,
        Trigger(account, names),
        Concurrency(account, names, settings.concurrency, limits),
        TuneLeftovers(account, names),
        StaleLayers(layers),
        StaleBundles(bundle),
    ]


def _width(settings: Settings, limits: Callable[[], Limits | None]) -> int:
    """Return the number of workers that clients use at a time.

    It is the setting, or what the account allows, but at most 100.
    """
    if settings.workers or settings.concurrency:
        return min(settings.workers or _MOST_WORKERS, settings.concurrency or _MOST_WORKERS)
    found = limits()
    return min(_WORKERS, max(1, found.available)) if found else _WORKERS


def contents_of(settings: Settings, *, here: bool) -> Contents:
    """Return the contents of the workers. ``here`` is True if they run on this machine.

    A stack with R has no Python packages unless they are asked for.
    """
    lambdas = settings.architecture or this_architecture()
    architecture = lambdas.replace("arm64", "aarch64")
    wheels = None if here else f"{architecture}-{_AMAZON_LINUX.get(PYTHON, _AMAZON_LINUX_2023)}"
    r = r_for(settings, lambdas)
    most = MOST_LAYERS - len(settings.layers)
    requires = from_file(settings.requirements) if settings.requirements else settings.requires
    contents = build(
        () if r and requires is None else requires,
        Platform(PYTHON, wheels),
        extra=settings.extra_requires,
        exclude=settings.exclude,
        most_layers=most - len(LAYERS) if r else most,
        compress=not here,
    )
    if r:
        return with_r(contents, r, most, compress=not here)
    # On this machine bytecode comes with packages, see local/packages.py. The size of the user's
    # own layers is not known here.
    return contents if here or settings.layers else with_bytecode(contents)


def deploy(parts: list[Resource], tell: Callable[[Change], None] = lambda _: None) -> int:
    """Create or change everything as wanted.

    Impossible settings raise an error before anything is changed.

    Returns:
        The number of changes.
    """
    for part in parts:
        part.changes()
    made = 0
    for part in parts:
        for change in part.changes():
            tell(change)
            change.apply()
            made += 1
    return made


def destroy(parts: list[Resource], tell: Callable[[Change], None] = lambda _: None) -> int:
    """Remove everything that `deploy` created. Return the number of changes."""
    made = 0
    for part in reversed(parts):
        for change in part.removal():
            tell(change)
            change.apply()
            made += 1
    return made
