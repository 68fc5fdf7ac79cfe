"""The first hour on a real AWS account, in order, with a report to send.

Never run in CI: it needs credentials and costs some cents, at most `CAP`.

    DOLAMBDA_TEST_AWS=1 AWS_PROFILE=... pytest tests/aws

It deploys a stack of its own (dolambda-test) and destroys it again. docs/guides/deploying.md says
more. `tests/integration/test_first_hour.py` runs the same steps on the emulated AWS.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dolambda.aws.account import Account
from support.first_hour import environment
from support.first_hour.hour import SETTINGS, Hour, SkippedError, Step
from support.first_hour.ledger import OverCapError
from support.first_hour.steps import STEPS
from support.first_hour.submitters import submitting

if TYPE_CHECKING:
    from collections.abc import Iterator

REPORT = Path("first-hour.md")

pytestmark = [
    pytest.mark.skipif(
        not environment.is_asked_for(),
        reason="costs money on a real account: set DOLAMBDA_TEST_AWS=1 to run it",
    ),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def hour(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hour]:
    with pytest.MonkeyPatch.context() as patch:
        environment.put_back(patch)
        account = Account.from_settings(SETTINGS)
        scratch = tmp_path_factory.mktemp("hour")
        submitter = partial(submitting, account)
        hour = Hour(account, SETTINGS, submitter, here=False, path=REPORT, scratch=scratch)
        hour.report.redact.add(os.environ.get("AWS_PROFILE"), "profile")
        hour.refuse_present_stack()
        try:
            yield hour
        finally:
            hour.destroy()  # whatever has failed; it finds nothing after the last step
            terminal = request.config.pluginmanager.get_plugin("terminalreporter")
            if terminal is not None:
                terminal.write_line(f"\nThe report is {REPORT.absolute()}")


@pytest.mark.parametrize("step", [pytest.param(step, id=step.name) for step in STEPS])
def test_step(hour: Hour, step: Step) -> None:
    try:
        hour.run(step)
    except (SkippedError, OverCapError) as why:
        pytest.skip(str(why))
