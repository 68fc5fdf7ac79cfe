"""pytest fixtures for tests of code that uses dolambda, without an AWS account.

**Input:** `pytest_plugins = ["dolambda.testing"]` in a conftest.py. **Output:** fixtures that make
Lambda the backend of joblib, executors and foreach for one test, and then restore the previous
backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dolambda.local.instance import Instance
from dolambda.local.stack import deploy_into
from dolambda.registration import register, unregister
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.aws.account import Credentials
    from dolambda.session import Session


@pytest.fixture(scope="session")
def dolambda_settings() -> dict[str, Any]:
    """Settings of the emulated stack. Override it in your conftest.py.

    Returns:
        Keyword arguments of `dolambda.register`, as a dict. By default none, so that
        pyproject.toml and ``DOLAMBDA_...`` variables decide.
    """
    return {}


@pytest.fixture(scope="session")
def dolambda_stack(dolambda_settings: dict[str, Any]) -> Iterator[tuple[Settings, Credentials]]:
    """Start an emulated AWS with a stack, once for all tests.

    Yields:
        Settings and credentials that lead to it.
    """
    settings = Settings.resolve(**dolambda_settings)
    instance = Instance.from_start(workers=settings.workers)
    try:
        yield deploy_into(instance, settings)
    finally:
        instance.stop()


@pytest.fixture
def dolambda_local(dolambda_stack: tuple[Settings, Credentials]) -> Iterator[Session]:
    """Run this test's tasks on the emulated AWS.

    Yields:
        The session. ``session.report().done`` is the number of tasks that ran.
    """
    settings, credentials = dolambda_stack
    try:
        yield register(
            region=settings.region,
            endpoint_url=settings.endpoint_url,
            stack=settings.stack,
            key=credentials.key,
            secret=credentials.secret,
            workers=settings.workers,
            progress=False,
        )
    finally:
        unregister()


@pytest.fixture
def dolambda_in_process() -> Iterator[Session]:
    """Run this test's tasks in the test's own process: fast, and breakpoints work.

    Yields:
        The session. ``session.report().done`` is the number of tasks that ran.
    """
    try:
        yield register("local", transport="in_process", progress=False)
    finally:
        unregister()
