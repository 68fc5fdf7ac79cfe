"""The steps of the first hour on a real account, on the emulated AWS: so it is known that they, the
counting and the report work before somebody pays for them.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda import LambdaExecutor
from dolambda.aws.account import Account, Credentials
from dolambda.errors import AccessDeniedError
from dolambda.local.stack import root
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.session import Session
from support.first_hour.hour import SETTINGS, Hour, Step
from support.first_hour.steps import STEPS
from support.first_hour.submitters import (
    assumed,
    remove_role,
    role_of,
    session_policy,
    submitting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.local.instance import Instance
    from dolambda.settings import Settings

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def hour(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hour]:
    settings, account = root(instance, SETTINGS)
    scratch = tmp_path_factory.mktemp("hour")

    @contextmanager
    def submitter(asked: Settings) -> Iterator[Credentials]:
        """Have the keys of a user: the emulated AWS does not enforce a session's policy."""
        iam, name = account.client("iam"), "first-hour-submitter"
        iam.create_user(UserName=name)
        policy = session_policy(names_of(account, asked))
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        yield Credentials(made["AccessKeyId"], made["SecretAccessKey"])

    path = scratch / "first-hour.md"
    keys = Credentials(instance.key, instance.secret)
    hour = Hour(account, settings, submitter, here=True, path=path, scratch=scratch, keys=keys)
    hour.refuse_present_stack()
    yield hour
    hour.destroy()


@pytest.mark.parametrize("step", [pytest.param(step, id=step.name) for step in STEPS])
def test_each_step_passes(hour: Hour, step: Step) -> None:
    before = hour.ledger.spent
    assert hour.run(step).outcome == "passed"
    assert before < hour.ledger.spent <= before + step.worst


def test_the_report_names_each_step_and_nothing_of_the_account(hour: Hour) -> None:
    """After all steps: what `tests/aws` would ask the user to send."""
    text = hour.path.read_text()
    for step in STEPS:
        assert f"| {step.name} | {step.finding} | passed |" in text
    for private in (hour.account.number, hour.settings.bucket, hour.keys.key, str(hour.scratch)):
        assert private
        assert private not in text
    assert hour.ledger.spent < hour.ledger.cap


def test_a_submitter_is_a_session_with_the_printed_policy(hour: Hour) -> None:
    """The emulated AWS does not enforce that policy, so the steps above use a user's."""
    with submitting(hour.account, hour.settings) as made:
        assert made.key
        assert made.token


def test_whom_federation_is_refused_has_a_role_meanwhile(instance: Instance) -> None:
    settings, account = root(instance, replace(SETTINGS, stack="hour-of-a-role"))
    iam = account.client("iam")
    deploy(resources(account, settings, here=True))
    try:
        made = assumed(account, settings)
        assert iam.get_role(RoleName=role_of(settings))
        with Session.open(settings, made) as session, LambdaExecutor(session=session) as executor:
            assert executor.submit(abs, -2).result(90) == 2
        theirs = Account.from_settings(settings, made)
        with pytest.raises(AccessDeniedError):
            deploy(resources(theirs, replace(settings, memory=640), here=True))
    finally:
        remove_role(account, settings)
        destroy(resources(account, settings, here=True))
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=role_of(settings))
    remove_role(account, settings)  # once more does no harm
