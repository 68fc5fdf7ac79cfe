"""`dolambda tune` and `dolambda advise` on the emulated AWS, whose workers have CPU as on
Lambda.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dolambda import LambdaExecutor
from dolambda.local.instance import Instance
from dolambda.local.stack import deploy_into, root
from dolambda.records.advice import MARGIN, Advice, advice_of
from dolambda.records.file_format import RunRecord
from dolambda.records.store import RecordStore, records_directory
from dolambda.session import Session
from dolambda.settings import Settings
from support import programs
from support.sandboxed_tasks import computes, waits
from support.terminal import on_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dolambda.aws.account import Account

PROGRAM = """
import sys, time
import dolambda
from dolambda import LambdaExecutor

def waits(task):
    held = b"x" * (60 << 20)
    time.sleep(0.3)
    return len(held)

def computes(task):
    begun = time.process_time()
    while time.process_time() - begun < 0.3:
        pass

def holds(task):
    return len(b"x" * (200 << 20))

def fails(task):
    raise ValueError("no such place")

def sleeps(task):
    time.sleep(60)

if __name__ == "__main__":
    session = dolambda.register(region="us-east-1")
    if sys.argv[3:] == ["stopped"]:
        session.transports.account.client("lambda").put_function_concurrency(
            FunctionName=session.stack.name, ReservedConcurrentExecutions=0
        )
    with LambdaExecutor() as executor:
        print("sum", len(list(executor.map(globals()[sys.argv[1]], range(int(sys.argv[2]))))))
    print("the program went on")
"""

Command = list[str]


@pytest.fixture(scope="module")
def confined() -> Iterator[Instance]:
    started = Instance.from_start(workers=1, sandbox=True, limit_cpu=True)
    yield started
    started.stop()


def environment(instance: Instance, stack: str, state: Path) -> dict[str, str]:
    """Return an administrator's environment, as after `dolambda deploy`."""
    return dict(os.environ) | {
        "AWS_ACCESS_KEY_ID": instance.key,
        "AWS_SECRET_ACCESS_KEY": instance.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "DOLAMBDA_ENDPOINT_URL": instance.endpoint_url,
        "DOLAMBDA_STACK": stack,
        "XDG_STATE_HOME": str(state),
    }


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def dolambda(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return programs.run("-m", "dolambda", *arguments, env=environ, timeout=300)


def functions(account: Account) -> list[str]:
    listed = account.client("lambda").list_functions()["Functions"]
    return sorted(function["FunctionName"] for function in listed)


def deployed(instance: Instance, stack: str, memory: int) -> Account:
    settings = Settings(stack=stack, requires=(), memory=memory, timeout=60)
    deploy_into(instance, settings)
    return root(instance, settings)[1]


@pytest.fixture
def tuned(confined: Instance, program: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Measure a function of the program, and return the curve."""
    account = deployed(confined, "tuned", 512)

    def tune(function: str, *options: str) -> dict[str, Any]:
        before = functions(account)
        environ = environment(confined, "tuned", tmp_path)
        done = dolambda(environ, "tune", "--json", *options, str(program), function, "30")
        assert done.returncode == 0, done.stderr
        assert functions(account) == before
        return dict(json.loads(done.stdout))

    return tune


def at(curve: dict[str, Any], memory: int) -> dict[str, Any]:
    (found,) = (point for point in curve["points"] if point["memory"] == memory)
    return dict(found)


@pytest.mark.soak
@pytest.mark.needs("bwrap")
def test_the_curve_of_tasks_that_compute(tuned: Callable[..., dict[str, Any]]) -> None:
    curve = tuned("computes", "--memory", "128,1769")
    assert [point["tasks"] for point in curve["points"]] == [5, 5, 5]
    # A busy machine only makes the larger ones slower.
    assert at(curve, 128)["seconds"] > 0.3 * 1769 / 128
    assert at(curve, 128)["seconds"] > at(curve, 1769)["seconds"]
    assert curve["fastest"] != 128
    assert 0 < curve["spent"] < 0.5


@pytest.mark.soak
@pytest.mark.needs("bwrap")
def test_the_curve_of_tasks_that_wait(tuned: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    picture = tmp_path / "curve.svg"
    curve = tuned("waits", "--memory", "256,1769", "--save", str(picture))
    assert at(curve, 256)["cost"] < at(curve, 1769)["cost"]
    assert curve["cheapest"] == 256
    assert all(point["peak"] > 60 for point in curve["points"])
    assert picture.read_text().count("<circle") == 6


@pytest.mark.needs("bwrap")
def test_a_size_that_tasks_do_not_fit_in_is_left_out(tuned: Callable[..., dict[str, Any]]) -> None:
    curve = tuned("holds", "--memory", "128")
    assert at(curve, 128)["note"].startswith("left out: tasks used")


class Measured:
    """Runs of one function, at the memory that the stack has, and what their records advise."""

    def __init__(self, instance: Instance, stack: str) -> None:
        self._instance = instance
        self._stack = stack

    def run(
        self, function: Callable[[float], object], memory: int, seconds: float = 0.3
    ) -> tuple[RunRecord, float]:
        """Return the record, and the time that jobs took after the worker's first."""
        asked = Settings(stack=self._stack, requires=(), memory=memory, timeout=60, progress=False)
        settings, credentials = deploy_into(self._instance, asked)
        settings = replace(settings, transport="direct")
        with (
            Session.open(settings, credentials) as session,
            LambdaExecutor(session=session, batch=1) as executor,
        ):
            list(executor.map(function, [seconds] * 8))
        path = RecordStore(records_directory()).find("last")
        record = RunRecord.from_bytes(path.read_bytes())
        assert record.header["cpu_limited"]
        return record, sum(job.seconds for job in record.tasks.jobs if not job.cold)


def memory_advice(record: RunRecord) -> Advice:
    (found,) = (one for one in advice_of(record) if one.kind == "memory")
    return found


@pytest.mark.needs("bwrap")
def test_followed_advice_makes_waiting_tasks_cheaper(confined: Instance) -> None:
    measured = Measured(confined, "waiting")
    before, seconds = measured.run(waits, 1769)
    advice = memory_advice(before)
    size = advice.figures["advised"]
    assert "less" in advice.text
    assert MARGIN * advice.figures["peak_mb"] < size < 1769
    after, later = measured.run(waits, size)
    assert not after.tasks.errors
    assert max(after.tasks.peak) < size
    # It said so many percent less; half of that is less than what a busy machine may hide.
    saved = 1 - later * size / (seconds * 1769)
    assert saved > -advice.figures["cost_change"] / 2


@pytest.mark.soak
@pytest.mark.needs("bwrap")
def test_followed_advice_makes_computing_tasks_faster(confined: Instance) -> None:
    measured = Measured(confined, "computing")
    before, seconds = measured.run(computes, 128, 0.15)
    advice = memory_advice(before)
    size = advice.figures["advised"]
    assert size > 128
    assert "less time" in advice.text
    _, later = measured.run(computes, size, 0.15)
    assert later < seconds * (1 + advice.figures["time_change"] / 3)


JOBLIB = """
import time
import dolambda
from joblib import Parallel, delayed

def computes(task):
    begun = time.process_time()
    while time.process_time() - begun < 0.2:
        pass

if __name__ == "__main__":
    with dolambda.register("local", memory=256, requires=["joblib"]):
        Parallel(n_jobs=-1)(delayed(computes)(i) for i in range(40))
"""


@pytest.mark.soak
@pytest.mark.needs("bwrap")
def test_a_local_program_is_tuned_in_the_sandbox(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(JOBLIB)
    environ = {
        **os.environ,
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "DOLAMBDA_REQUIRES": "joblib",
    }
    started = dolambda(environ, "local", "start", "--sandbox", "--workers", "2")
    assert started.returncode == 0, started.stderr
    try:
        done = dolambda(environ, "tune", "--json", "--memory", "1024", str(program))
        assert done.returncode == 0, done.stderr
        curve = json.loads(done.stdout)
        assert (curve["deployed"], curve["emulated"]) == (256, True)
        assert at(curve, 256)["seconds"] > 0.9 * 0.2 * 1769 / 256
        assert "whole core" not in done.stderr
    finally:
        dolambda(environ, "local", "stop", "--yes")


@pytest.fixture
def stage(instance: Instance, tmp_path: Path) -> Iterator[tuple[dict[str, str], Account]]:
    """A stack that is removed at the end, and its administrator's environment."""
    account = deployed(instance, "staged", 256)
    yield environment(instance, "staged", tmp_path), account
    for name in functions(account):
        if name.startswith("staged"):
            account.client("lambda").delete_function(FunctionName=name)


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def begun(environ: dict[str, str], account: Account, program: Path) -> subprocess.Popen[str]:
    """Start a tune of tasks that take long; return it once it has a temporary function."""
    started = subprocess.Popen(
        [sys.executable, "-m", "dolambda", "tune", "--memory", "512", str(program), "sleeps", "9"],
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: "staged-tune-256" in functions(account), "there is no temporary function")
    return started


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_removes_its_functions_when_it_is_ended(
    stage: tuple[dict[str, str], Account], program: Path, number: signal.Signals
) -> None:
    environ, account = stage
    started = begun(environ, account, program)
    started.send_signal(number)
    started.communicate(timeout=60)
    assert started.returncode != 0
    assert functions(account).count("staged-tune-256") == 0
    assert "staged" in functions(account)


def test_what_a_killed_one_leaves_is_found_and_removed(
    stage: tuple[dict[str, str], Account], program: Path
) -> None:
    environ, account = stage
    started = begun(environ, account, program)
    started.kill()
    started.communicate(timeout=60)
    again = dolambda(environ, "tune", str(program), "computes", "9")
    assert again.returncode == 1
    assert "`dolambda tune --clean` removes" in again.stderr
    findings = {
        one["what"]: one for one in json.loads(dolambda(environ, "doctor", "--json").stdout)
    }
    assert not findings["leftovers"]["fine"]
    assert "staged-tune-256" in findings["leftovers"]["found"]
    cleaned = dolambda(environ, "tune", "--clean")
    assert cleaned.stdout == "removed 1 function: staged-tune-256\n", cleaned.stderr
    assert "staged-tune-256" not in functions(account)


def test_destroy_removes_what_a_killed_one_leaves(
    stage: tuple[dict[str, str], Account], program: Path
) -> None:
    environ, account = stage
    started = begun(environ, account, program)
    started.kill()
    started.communicate(timeout=60)
    done = dolambda(environ, "destroy", "--yes")
    assert "function staged-tune-256: left by `dolambda tune`" in done.stdout
    assert not [name for name in functions(account) if name.startswith("staged")]


def test_a_run_smaller_than_the_sample_is_measured_too(
    stage: tuple[dict[str, str], Account], program: Path
) -> None:
    environ, account = stage
    done = dolambda(environ, "tune", "--memory", "512", str(program), "computes", "2")
    assert done.returncode == 0, done.stderr
    assert "the program went on" in done.stdout
    assert "by list price, never more than" in done.stderr  # the quote
    assert "best balance" in done.stdout
    assert not [name for name in functions(account) if "tune" in name]


def test_the_deployed_function_gets_no_job(
    stage: tuple[dict[str, str], Account], program: Path
) -> None:
    """It is measured as well when Lambda runs nothing of that function."""
    environ, _ = stage
    command = ("tune", "--json", "--memory", "512", str(program), "computes", "9", "stopped")
    done = dolambda(environ, *command)
    assert done.returncode == 0, done.stderr
    assert [point["tasks"] for point in json.loads(done.stdout)["points"]] == [5, 5]
    assert "whole core" in done.stderr


def test_the_budget_is_kept_to(stage: tuple[dict[str, str], Account], program: Path) -> None:
    environ, _ = stage
    few = ("tune", "--json", "--budget", "0.0002", "--memory", "512,10240")
    done = dolambda(environ, *few, str(program), "computes", "9")
    assert done.returncode == 0, done.stderr
    curve = json.loads(done.stdout)
    assert "of the budget is left" in at(curve, 10_240)["note"]
    assert curve["spent"] <= 0.0002
    none = dolambda(environ, "tune", "--budget", "0.000001", str(program), "computes", "9")
    assert none.returncode == 1
    assert "budget=1e-06 does not cover" in none.stderr


def test_no_ends_it_after_the_first_size(
    stage: tuple[dict[str, str], Account], program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ, account = stage
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    command = ["-m", "dolambda", "tune", str(program), "computes", "9"]
    status, written = on_terminal(command, {"[Y/n]": "n\n"})
    assert status == 1
    assert "5 tasks at 4 more sizes" in written
    assert "nothing was measured" in written
    assert "the program went on" not in written
    assert not [name for name in functions(account) if "tune" in name]


def test_a_sample_that_fails_is_not_compared(
    stage: tuple[dict[str, str], Account], program: Path
) -> None:
    environ, account = stage
    done = dolambda(environ, "tune", str(program), "fails", "9")
    assert done.returncode == 1
    assert "ValueError: no such place" in done.stderr
    assert not [name for name in functions(account) if "tune" in name]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--memory", "64"), "--memory has '64'"),
        (("--memory", "512,x"), "--memory has 'x'"),
        (("--budget", "0"), "--budget must be above zero dollars, got 0"),
        (("--save", "curve.png"), "neither a picture nor a page"),
    ],
)
def test_mistakes_are_told_before_anything_is_begun(
    stage: tuple[dict[str, str], Account], program: Path, options: tuple[str, str], said: str
) -> None:
    done = dolambda(stage[0], "tune", *options, str(program), "computes", "9")
    assert done.returncode == 1
    assert said in done.stderr
    assert "measuring" not in done.stderr
