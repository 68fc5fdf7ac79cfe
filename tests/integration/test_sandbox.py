"""Workers in Lambda's sandbox: what they may do, what they are given, and that all else works in
it.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda import LambdaExecutor
from dolambda.errors import DolambdaError, OutOfMemoryError
from dolambda.local.instance import Instance
from dolambda.local.stack import deploy_into
from dolambda.session import Session
from dolambda.settings import Settings
from support.sandboxed_tasks import computes, dies, holds, returns, seen_inside

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("bwrap")

_MEMORY = 512


@pytest.fixture(scope="module")
def confined() -> Iterator[Instance]:
    started = Instance.from_start(workers=1, sandbox=True)
    yield started
    started.stop()


@pytest.fixture(scope="module", params=["queue", "direct"])
def executor(confined: Instance, request: pytest.FixtureRequest) -> Iterator[LambdaExecutor]:
    asked = Settings(requires=("attrs",), memory=_MEMORY, timeout=60, progress=False)
    settings, credentials = deploy_into(confined, asked)
    settings = replace(settings, transport=request.param)
    with (
        Session.open(settings, credentials) as session,
        LambdaExecutor(session=session, retries=0) as opened,
    ):
        yield opened


def test_it_is_lambdas(executor: LambdaExecutor) -> None:
    found = executor.submit(seen_inside).result(60)
    readonly = dict.fromkeys(
        ("/var/task/x", "/opt/x", "/usr/x", "/dev/x", "/x"), "Read-only file system"
    )
    assert found.pop("code").startswith("/var/task/")
    assert found.pop("layer").startswith("/opt/python/")
    assert found == readonly | {
        "/tmp/x": "written",  # noqa: S108
        "user": 993,
        "directory": "/var/task",
        "shared memory": False,
        "home": None,
        "descriptors": (1024, 1024),
    }


def states() -> list[str]:
    """Return the states of confined processes, as the kernel has them."""
    listed = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,stat=,args="],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split(None, 3) for line in listed.splitlines()]
    return [row[2] for row in rows if len(row) > 3 and "/var/runtime/bin/python" in row[3]]


def test_between_invocations_it_is_frozen(executor: LambdaExecutor) -> None:
    assert executor.submit(abs, -1).result(60) == 1
    deadline = time.monotonic() + 30
    while not (found := states()) or not all(one[0] in "TZ" for one in found):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    assert executor.submit(abs, -2).result(60) == 2


def test_what_takes_too_much_memory_ends_and_the_next_task_runs(executor: LambdaExecutor) -> None:
    with pytest.raises(OutOfMemoryError):  # the worker saw it before Lambda did
        executor.submit(holds, 2 * _MEMORY).result(90)
    assert executor.submit(abs, -3).result(60) == 3


def test_a_large_result_comes_or_is_told_to_be_too_large(executor: LambdaExecutor) -> None:
    """The worker and what it has started have the function's memory together."""
    with contextlib.suppress(OutOfMemoryError):
        assert len(executor.submit(returns, 150).result(60)) == 150 << 20
    assert executor.submit(abs, -7).result(60) == 7


def test_a_task_that_dies_and_the_next_one(executor: LambdaExecutor) -> None:
    with pytest.raises(DolambdaError):
        executor.submit(dies).result(60)
    assert executor.submit(abs, -4).result(60) == 4


def test_a_connection_that_was_closed_while_it_was_frozen_is_made_again(
    executor: LambdaExecutor,
) -> None:
    assert executor.submit(abs, -5).result(60) == 5
    time.sleep(7)  # the emulator closes idle connections after 5 s
    assert executor.submit(abs, -6).result(60) == 6


@pytest.fixture(scope="module")
def slowed() -> Iterator[LambdaExecutor]:
    """A worker of 256 MB, which has a seventh of a core."""
    started = Instance.from_start(workers=1, sandbox=True, limit_cpu=True)
    asked = Settings(requires=(), memory=256, timeout=60, progress=False, transport="direct")
    with (
        Session.open(*deploy_into(started, asked)) as session,
        LambdaExecutor(session=session) as opened,
    ):
        yield opened
    started.stop()


def test_cpu_is_limited_to_the_share_of_its_memory(slowed: LambdaExecutor) -> None:
    seconds, used = slowed.submit(computes, 0.5).result(90)
    assert seconds > 0.5 * used * 1769 / 256  # a busy machine only makes it slower
