"""Nothing waits for what cannot come: an emulated AWS that has gone, or a network that is dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dolambda import LambdaExecutor
from dolambda.named_runs import NamedRun
from support import programs
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.session import Session

PROGRAM = """
import signal, sys, time, dolambda
from dolambda import LambdaExecutor
from dolambda.named_runs import NamedRun
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
session = dolambda.register("local", transport=sys.argv[1], progress=False)
with LambdaExecutor() as executor:
    futures = [executor.submit(time.sleep, 1) for _ in range(100)]
    futures[0].result()
    print(session.instance.directory, flush=True)
    for future in futures:
        future.result()
"""


class User:
    """A program in the middle of a run on an emulated AWS of its own, and where that is."""

    def __init__(self, transport: str, place: Path) -> None:
        self._errors = place / "errors"
        with self._errors.open("w") as errors:
            self.process = programs.start(
                "-c",
                PROGRAM,
                transport,
                stdout=subprocess.PIPE,
                stderr=errors.fileno(),
                env=os.environ | {"TMPDIR": str(place)},
            )
        assert self.process.stdout is not None
        self.directory = Path(self.process.stdout.readline().strip())

    def said(self) -> str:
        """Wait for its end, and return what it wrote to standard error."""
        self.process.wait(60)
        return self._errors.read_text()


@pytest.fixture
def user(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[User]:
    started = User(request.param, tmp_path)
    yield started
    started.process.kill()
    started.process.wait(60)
    assert started.process.stdout is not None
    started.process.stdout.close()


def emulator(directory: Path) -> int:
    return int(json.loads((directory / "state.json").read_text(encoding="utf-8"))["group"])


def guardian(directory: Path) -> int:
    return int(json.loads((directory / "state.json").read_text(encoding="utf-8"))["guardian"])


@pytest.mark.parametrize(
    ("user", "victim"),
    [("queue", emulator), ("direct", emulator), ("queue", guardian)],
    indirect=["user"],
)
def test_an_emulated_aws_that_was_killed_is_noticed(
    user: User, victim: Callable[[Path], int]
) -> None:
    os.kill(victim(user.directory), signal.SIGKILL)
    said = user.said()
    assert user.process.returncode == 1
    assert "LocalAwsError: the AWS emulated on this machine has ended" in said


@pytest.mark.parametrize("user", ["queue", "direct"], indirect=True)
def test_ctrl_c_ends_a_program_whose_network_is_dead(user: User) -> None:
    os.kill(emulator(user.directory), signal.SIGSTOP)  # connections stay open, and nothing answers
    time.sleep(1)
    user.process.send_signal(signal.SIGINT)
    said = user.said()
    assert said.rstrip().endswith("KeyboardInterrupt") or "expire by themselves" in said
    until(lambda: not user.directory.exists())


def test_all_runs_are_counted_however_they_were_closed(session: Session) -> None:
    with LambdaExecutor() as executor:
        assert list(executor.map(abs, [-1, -2])) == [1, 2]
    executor = LambdaExecutor()
    futures = [executor.submit(abs, -i) for i in range(3)]
    executor.shutdown(wait=False)
    dropped = LambdaExecutor().submit(abs, -4)
    assert [future.result(60) for future in futures] == [0, 1, 2]
    assert dropped.result(60) == 4
    LambdaExecutor().shutdown(wait=False)  # nothing was ever sent
    del executor, futures, dropped
    until(lambda: not session._accounts.open_runs())
    assert session.report().done == 6
    assert session.bill().total > 0


@pytest.mark.parametrize("wait", [True, False])
def test_a_named_run_that_has_ended_frees_its_name(session: Session, wait: bool) -> None:
    for _ in range(2):
        executor = LambdaExecutor(run="twice-in-a-session")
        future = executor.submit(abs, -3)
        assert future.result(60) == 3
        executor.shutdown(wait=wait)
        until(lambda: not session._named_runs._open)
    executor = LambdaExecutor(run="twice-in-a-session")
    executor.shutdown(wait=wait)
    until(lambda: not session._named_runs._open)
    assert session.bucket is not None
    NamedRun("twice-in-a-session", session.bucket, session.key).clean()
