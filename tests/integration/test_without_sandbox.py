"""A worker without the sandbox has nothing of it: no program between, and it is never frozen.

So the sandbox, which tests ask for, adds nothing to the queue's latency elsewhere.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dolambda import LambdaExecutor
from dolambda.local.instance import Instance
from dolambda.local.stack import deploy_into
from dolambda.session import Session
from dolambda.settings import Settings
from support.sandboxed_tasks import ancestors

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def unconfined() -> Iterator[Instance]:
    """The emulated AWS of those who only say register("local")."""
    started = Instance.from_start(workers=1)
    yield started
    started.stop()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux tells of other processes")
def test_a_worker_is_the_emulators_child_and_goes_on(unconfined: Instance) -> None:
    settings, keys = deploy_into(unconfined, Settings(requires=(), timeout=60, progress=False))
    with Session.open(settings, keys) as session, LambdaExecutor(session=session) as executor:
        (number, _), *above = executor.submit(ancestors).result(60)
        emulator = next(at for at, (_, line) in enumerate(above) if "emulator" in line)
        between = [line for _, line in above[:emulator]]
        assert len(between) == 1  # the worker, whose child runs the task
        assert "bwrap" not in " ".join(between)
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            state = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][0]
            assert state not in "Tt"
            time.sleep(0.01)
        assert executor.submit(abs, -1).result(60) == 1
