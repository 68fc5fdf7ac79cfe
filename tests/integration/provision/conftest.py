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
    """All rules in force."""
    return StrictAws(Options(ignores_conditions=True))


@pytest.fixture
def account(strict: StrictAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An empty account behind the rules, which lets nobody wait for long."""
    monkeypatch.setattr("dolambda.provision.plan._FIRST_PAUSE", 0.005)
    monkeypatch.setattr("dolambda.provision.plan._LONGEST_PAUSE", 0.05)
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield before(
            Account.from_settings(Settings(region=strict.options.region), Credentials("AK", "SK")),
            strict,
        )
