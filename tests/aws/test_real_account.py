"""The journey on a real AWS account, for who wants to prove it there.

Never run in CI: it needs credentials and costs some cents.

    DOLAMBDA_TEST_AWS=1 AWS_PROFILE=... pytest tests/aws

It deploys a stack of its own (dolambda-test), runs a few hundred short tasks, and destroys it
again. The spending cap: the stack's width is 10 workers of 512 MB, each stopped by Lambda after 30
s; the some 20 jobs sent here cost 0.005 dollars if every one of them ran into that limit, and the
bill is checked against `CAP`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda import LambdaExecutor, register, unregister
from dolambda.aws.account import Account
from dolambda.errors import WorkerCrashedError
from dolambda.money.bill import Bill
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.session import Session

CAP = 0.05
"""Dollars that these tests may cost at the very worst."""

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("DOLAMBDA_TEST_AWS"),
        reason="costs money on a real account: set DOLAMBDA_TEST_AWS=1 to run it",
    ),
    pytest.mark.timeout(900),
]

SETTINGS = Settings(stack="dolambda-test", requires=(), memory=512, timeout=30, workers=10)


@pytest.fixture(scope="module")
def real() -> Iterator[Session]:
    settings = replace(SETTINGS, region=os.environ.get("AWS_REGION"))
    account = Account.from_settings(settings)
    deploy(resources(account, settings, here=False))
    assert deploy(resources(account, settings, here=False)) == 0
    yield register(stack="dolambda-test", region=account.region, workers=10, progress=False)
    unregister()
    destroy(resources(account, settings, here=False))


def test_a_few_hundred_tasks(real: Session) -> None:
    with LambdaExecutor() as executor:
        assert list(executor.map(pow, range(300), [2] * 300)) == [i * i for i in range(300)]
    bill = Bill.from_report(real.report(), memory=512, architecture="x86_64")
    assert bill.total < CAP


def test_a_crash_is_told(real: Session) -> None:
    assert real.stack is not None
    with LambdaExecutor() as executor, pytest.raises(WorkerCrashedError):
        executor.submit(os._exit, 1).result(60)
