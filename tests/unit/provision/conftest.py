"""A stack on moto, behind the strict AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from dolambda.aws.account import Account, Credentials
from dolambda.settings import Settings
from support.strict_aws import Options, StrictAws, before

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def strict() -> StrictAws:
    """All rules in force, but for those that are not obeyed yet."""
    made = StrictAws(Options(ignores_conditions=True))
    for name in ("role_known_late", "pending_and_in_progress", "bucket_known_late"):
        made.switch(name, on=False)
    return made


@pytest.fixture
def account(strict: StrictAws) -> Iterator[Account]:
    """An empty account behind the rules."""
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield before(
            Account.from_settings(Settings(region=strict.options.region), Credentials("AK", "SK")),
            strict,
        )
