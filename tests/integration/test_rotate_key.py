"""`dolambda rotate-key` while sessions go on, and no key in anything that is shown; on the emulated
AWS.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dolambda import LambdaExecutor
from dolambda.errors import JobRefusedError, NotDeployedError, ProvisionError
from dolambda.local.stack import deploy_into, root
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.provision.panic import Panic
from dolambda.provision.rotate_key import Rotation
from dolambda.session import Session
from dolambda.settings import Settings
from dolambda.wire import signing_keys
from support import programs
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.aws.account import Account, Credentials
    from dolambda.local.instance import Instance


class Stage:
    """A stack whose key is replaced, its submitter, and the account's root user."""

    def __init__(self, instance: Instance) -> None:
        asked = Settings(stack="keyed", requires=(), timeout=20, max_wait=30)
        self.settings, self.credentials = deploy_into(instance, asked)
        self.account: Account = root(instance, asked)[1]
        self.rotation = Rotation(self.account, "keyed")

    def open(self, transport: str = "queue") -> Session:
        given: Credentials = self.credentials
        return Session.open(replace(self.settings, transport=transport, progress=False), given)

    def variables(self) -> dict[str, str]:
        found = self.account.client("lambda").get_function_configuration(FunctionName="keyed")[
            "Environment"
        ]["Variables"]
        return dict(found)

    def keys(self) -> dict[str, str]:
        return signing_keys.found(self.variables())


@pytest.fixture
def stage(instance: Instance) -> Iterator[Stage]:
    made = Stage(instance)
    yield made
    destroy(resources(made.account, replace(made.settings, requires=()), here=True))


def asks(session: Session, count: int = 5) -> list[int]:
    with LambdaExecutor(session=session) as executor:
        return list(executor.map(abs, range(-count, 0), timeout=60))


@pytest.mark.parametrize("transport", ["queue", "direct"])
def test_a_session_goes_on_across_a_rotation_and_is_refused_after_the_next_step(
    stage: Stage, transport: str
) -> None:
    with stage.open(transport) as old:
        assert asks(old) == [5, 4, 3, 2, 1]
        others = {
            name: value
            for name, value in stage.variables().items()
            if name not in signing_keys.VARIABLES
        }
        stage.rotation.rotate()
        keys = stage.keys()
        assert keys.keys() == {"DOLAMBDA_KEY", "DOLAMBDA_KEY_BEFORE"}
        assert keys["DOLAMBDA_KEY_BEFORE"] == old.key.hex() != keys["DOLAMBDA_KEY"]
        assert {
            name: value
            for name, value in stage.variables().items()
            if name not in signing_keys.VARIABLES
        } == others
        with stage.open(transport) as new:
            assert new.key.hex() == keys["DOLAMBDA_KEY"]
            assert asks(new) == asks(old) == [5, 4, 3, 2, 1]
            assert deploy(resources(stage.account, stage.settings, here=True)) == 0
            deploy(resources(stage.account, replace(stage.settings, timeout=25), here=True))
            assert stage.keys() == keys  # deploy keeps both
            assert asks(old) == [5, 4, 3, 2, 1]
            assert stage.rotation.finish()
            assert stage.keys() == {"DOLAMBDA_KEY": new.key.hex()}
            with pytest.raises(
                JobRefusedError,
                match=r"not signed with this stack's key\n.*rotate-key`: call register\(\) again",
            ):
                asks(old, 1)
            assert asks(new) == [5, 4, 3, 2, 1]
        assert not stage.rotation.finish()


def test_no_task_is_lost_while_the_key_is_replaced_again_and_again(stage: Stage) -> None:
    """New sessions are opened all the while: none reads a key that a worker does not know."""
    over = threading.Event()
    wrong: list[object] = []

    def work() -> None:
        while not over.is_set():
            with stage.open("direct") as session:
                try:
                    wrong.extend([] if asks(session, 3) == [3, 2, 1] else ["values"])
                except Exception as error:  # noqa: BLE001
                    # Whatever it is, it is what this test looks for.
                    wrong.append(error)
                if session.report().resent:
                    wrong.append("a job was refused, and sent again")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(2):
            stage.rotation.rotate()
            over.wait(2)  # as long as a session here lives
    finally:
        over.set()
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("transport", ["queue", "direct"])
def test_what_is_at_work_while_the_key_is_replaced_comes_to_its_end(
    stage: Stage, transport: str, tmp_path: Path
) -> None:
    """As on Lambda, where an update lets invocations go on. Their environment is not used again."""
    begun, go_on = tmp_path / "begun", tmp_path / "go on"

    def task() -> int:
        begun.touch()
        while not go_on.exists():
            time.sleep(0.02)
        return os.getppid()

    with stage.open(transport) as session, LambdaExecutor(session=session) as executor:
        future = executor.submit(task)
        until(begun.exists)
        stage.rotation.rotate()
        go_on.touch()
        environment = future.result(60)
        assert session.report().resent == 0
        assert executor.submit(abs, -1).result(60) == 1
        assert executor.submit(os.getppid).result(60) != environment
    until(lambda: not Path(f"/proc/{environment}").exists())


def test_a_second_rotation_drops_the_first_key(stage: Stage) -> None:
    first = stage.keys()["DOLAMBDA_KEY"]
    stage.rotation.rotate()
    second = stage.keys()["DOLAMBDA_KEY"]
    stage.rotation.rotate()
    third = stage.keys()
    assert third["DOLAMBDA_KEY_BEFORE"] == second
    assert len({first, second, third["DOLAMBDA_KEY"]}) == 3


def test_cut_off_between_its_steps_it_goes_on_with_the_same_key(stage: Stage) -> None:
    first = stage.keys()["DOLAMBDA_KEY"]
    updates: list[str] = []

    def cut(_service: str, operation: str, _params: dict[str, Any]) -> None:
        if operation == "UpdateFunctionConfiguration":
            updates.append(operation)
            if len(updates) > 1:
                raise KeyboardInterrupt

    stage.account.intercept(cut)
    with pytest.raises(KeyboardInterrupt):
        stage.rotation.rotate()
    stage.account.intercept(lambda *_: None)
    half = stage.keys()
    assert half == {"DOLAMBDA_KEY": first, "DOLAMBDA_KEY_NEXT": half["DOLAMBDA_KEY_NEXT"]}
    assert deploy(resources(stage.account, stage.settings, here=True)) == 0
    stage.rotation.rotate()
    assert stage.keys() == {"DOLAMBDA_KEY": half["DOLAMBDA_KEY_NEXT"], "DOLAMBDA_KEY_BEFORE": first}


def test_changed_at_the_same_time_it_is_refused_and_nothing_is_overwritten(stage: Stage) -> None:
    def meanwhile(_service: str, operation: str, _params: dict[str, Any]) -> None:
        if operation == "UpdateFunctionConfiguration":
            stage.account.intercept(lambda *_: None)
            stage.account.client("lambda").update_function_configuration(
                FunctionName="keyed", Timeout=44
            )

    before = stage.keys()
    stage.account.intercept(meanwhile)
    with pytest.raises(
        ProvisionError,
        match=r"changed by someone else at the same time\n  Repeat the command",
    ):
        stage.rotation.rotate()
    assert stage.keys() == before


def test_what_dolambda_did_not_make_has_no_key(stage: Stage) -> None:
    with pytest.raises(NotDeployedError, match=r"there is no stack 'nowhere'.*\n  Use stack="):
        Rotation(stage.account, "nowhere").rotate()


@pytest.mark.soak
def test_no_key_is_shown_by_commands_or_logged_by_a_session(
    stage: Stage,
    instance: Instance,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """At debug level botocore logs what it sends and gets, the function's environment with it."""
    said, known = [], set(stage.keys().values())
    caplog.set_level(logging.DEBUG)
    with stage.open() as old:
        stage.rotation.rotate()
        known |= set(stage.keys().values())
        assert asks(old) == [5, 4, 3, 2, 1]
        said += [repr(old), repr(old.stack), repr(vars(old.stack).keys()), repr(stage.rotation)]
        Panic(stage.account, "keyed").begin()
        Panic(stage.account, "keyed").undo()
        stage.rotation.finish()
        with pytest.raises(JobRefusedError) as refused:
            asks(old, 1)
        said.append(str(refused.value))
    deploy(resources(stage.account, replace(stage.settings, timeout=25), here=True))
    assert (
        "DOLAMBDA_KEY" in caplog.text
    )  # so botocore did log it, and the keys with it if it were not for us
    assert "(not shown)" in caplog.text
    environ = dict(os.environ) | {
        "AWS_ACCESS_KEY_ID": instance.key,
        "AWS_SECRET_ACCESS_KEY": instance.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "DOLAMBDA_ENDPOINT_URL": instance.endpoint_url,
        "DOLAMBDA_STACK": "keyed",
        "TMPDIR": str(tmp_path),
    }
    for command in (
        ["rotate-key"],
        ["status"],
        ["status", "--json"],
        ["plan", "--memory", "512"],
        ["deploy", "--memory", "512", "--commands"],
        ["deploy", "--memory", "512"],
        ["doctor"],
        ["panic"],
        ["deploy"],
        ["panic", "--undo"],
        ["rotate-key", "--finish"],
        ["rotate-key", "--finish"],
        ["logs", "--all"],
        ["policy", "worker"],
    ):
        done = programs.run("-m", "dolambda", *command, cwd=tmp_path, env=environ)
        said.append(done.stdout + done.stderr)
        known |= set(stage.keys().values())
        assert done.returncode == (1 if command == ["deploy"] else 0), said[-1]
    assert said[-3] == "The stack keyed has one key only: there is nothing to finish.\n"
    shown = "\n".join([*said, caplog.text, *capfd.readouterr()])
    assert len(known) == 3
    for key in known:
        for spelling in (key, repr(bytes.fromhex(key))[2:-1]):
            assert spelling not in shown
    assert instance.secret not in shown
