"""The command line on the emulated AWS of `dolambda local start`: asked for by --local, or for want
of anything else.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.local.instance import Instance
from support import programs
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOLAMBDA = [sys.executable, "-m", "dolambda"]

# Two named runs, then a job that is no job of ours.
PROGRAM = """
import dolambda
from dolambda import LambdaExecutor
session = dolambda.register("local", progress=False)
for name in ("nightly-1", "nightly-2", "weekly"):
    with LambdaExecutor(run=name) as executor:
        assert list(executor.map(abs, [-1, -2, 3])) == [1, 2, 3]
session.bucket.put("jobs/00/abcdefghij/000000/000000007", b"this is no job")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home without configuration of AWS's, and a temporary directory without other instances."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(place))
        patch.setenv("XDG_STATE_HOME", str(place / "state"))
        patch.setenv("TMPDIR", str(place))
        patch.setenv("DOLAMBDA_REQUIRES", "joblib")
        patch.setattr("tempfile.tempdir", str(place))
        yield place


@pytest.fixture(scope="module")
def shared(home: Path) -> Iterator[Instance]:
    """The emulated AWS, used by a program before; the same for all tests here, in their order."""
    for command in (("status",), ("panic",), ("doctor",)):
        refused = dolambda(*command, at=home)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == (
            "dolambda: no AWS credentials were found, and no emulated AWS is running\n"
            "  Run `aws configure`, or `dolambda local start` for AWS emulated on this machine.\n"
        )
        asked = dolambda(*command, "--local", at=home)
        assert asked.stderr.startswith("dolambda: no emulated AWS is running on this machine\n")
    started = dolambda("local", "start", "--workers", "2", at=home)
    assert started.returncode == 0, started.stderr
    instance = Instance.find_shared()
    assert instance is not None
    done = programs.run("-c", PROGRAM, cwd=home)
    assert done.returncode == 0, done.stderr
    yield instance
    dolambda("local", "stop", "--yes", at=home)


def dolambda(*arguments: str, at: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return programs.run(
        "-m", "dolambda", *arguments, cwd=at, env=os.environ | variables, timeout=150
    )


def right(*arguments: str, at: Path, **variables: str) -> Any:
    done = dolambda(*arguments, at=at, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("way", [("--local",), ("--stack", "local"), ()], ids=" ".join)
def test_the_local_stack_is_found(home: Path, way: tuple[str, ...]) -> None:
    done = right("status", *way, "--json", at=home)
    facts = json.loads(done.stdout)
    assert facts["emulated"] is True
    assert facts["stack"].startswith("dolambda-")
    assert done.stderr == (
        ""
        if way
        else (
            "dolambda: no AWS credentials found; using the AWS emulated on this machine (--local)\n"
        )
    )
    shown = right("status", *way, at=home).stdout
    rows = dict(row.split(maxsplit=1) for row in shown.splitlines())
    assert (rows["emulated"], rows["stopped"], rows["workers"]) == ("yes", "no", "2")
    assert rows["stack"] == facts["stack"]


def test_the_variable_and_pyproject_may_name_the_local_stack(shared: Instance, home: Path) -> None:
    assert shared.running
    assert json.loads(right("status", "--json", at=home, DOLAMBDA_STACK="local").stdout)["emulated"]
    other = dolambda("status", at=home, DOLAMBDA_STACK="other")
    assert "there is no stack 'other' in the AWS emulated on this machine" in other.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--local", "--region", "eu-west-1"),
        ("runs", "--local", "--profile", "x"),
        ("deploy", "--stack", "local"),
        ("destroy", "--stack", "local", "--yes"),
    ],
    ids=" ".join,
)
def test_contradictions_are_refused(
    shared: Instance, home: Path, arguments: tuple[str, ...]
) -> None:
    done = dolambda(*arguments, at=home)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 2)
    assert arguments[-1] in done.stderr or "--stack 'local'" in done.stderr
    assert shared.running


def test_an_untouched_stack_needs_no_change(shared: Instance, home: Path) -> None:
    assert right("plan", "--local", at=home).stdout == "Nothing to change.\n"
    exported = _exports(right("local", "env", at=home).stdout)
    assert exported["DOLAMBDA_ENDPOINT_URL"] == shared.endpoint_url
    assert right("plan", at=home, **exported).stdout == "Nothing to change.\n"
    changed = right("plan", "--memory", "512", "--timeout", "60", at=home, **exported).stdout
    assert "memory 1769 -> 512 MB; timeout 300 -> 60 s" in changed
    assert "1 change to the stack" in changed


def _exports(script: str) -> dict[str, str]:
    words = (shlex.split(line) for line in script.splitlines())
    return dict(line[1].split("=", 1) for line in words if line[0] == "export")


def test_exported_variables_lead_a_shell_there(shared: Instance, home: Path) -> None:
    command = f"{shlex.join(DOLAMBDA)} status --json"
    script = f'eval "$({shlex.join(DOLAMBDA)} local env)" && {command}'
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=home, capture_output=True, text=True, check=True, timeout=60
    )
    assert shared.running
    assert json.loads(done.stdout)["stack"].startswith("dolambda-")
    assert done.stderr == ""


@pytest.mark.usefixtures("shared")
def test_doctor_and_policy(home: Path) -> None:
    done = dolambda("doctor", "--local", "--json", at=home)
    findings = {one["what"]: one for one in json.loads(done.stdout)}
    assert all(one["fine"] for one in findings.values()), done.stdout
    assert "round trip" in findings
    assert json.loads(right("policy", "worker", "--local", at=home).stdout)["Statement"]


@pytest.mark.usefixtures("shared")
def test_runs_by_prefix_and_last(home: Path) -> None:
    listed = json.loads(right("runs", "--local", "--json", at=home).stdout)
    assert [run["run"] for run in listed] == ["weekly", "nightly-2", "nightly-1"]
    assert listed == json.loads(right("runs", "list", "--local", "--json", at=home).stdout)
    assert all((run["state"], run["tasks"], run["failed"]) == ("complete", 3, 0) for run in listed)
    table = right("runs", "--local", at=home, COLUMNS="80").stdout.splitlines()
    assert len(table) == 4  # no row is wrapped
    assert max(map(len, table)) <= 80
    for name, whole in (("week", "weekly"), ("last", "weekly"), ("nightly-1", "nightly-1")):
        shown = right("runs", "--local", "show", name, at=home).stdout
        assert shown.startswith(f"{whole}: 3 tasks returned, 0 raised")
    counted = json.loads(right("runs", "show", "last", "--local", "--json", at=home).stdout)
    assert (counted["run"], counted["values"]) == ("weekly", 3)
    several = dolambda("runs", "show", "night", "--local", at=home)
    assert several.stderr.startswith(
        "dolambda: 2 runs have names that begin with 'night': nightly-1 and nightly-2\n"
    )
    absent = dolambda("runs", "show", "daily", "--local", at=home)
    assert absent.stderr.startswith("dolambda: no run 'daily' exists in s3://dolambda-")
    assert right("runs", "fetch", "wee", "--local", at=home).stdout.startswith(
        "saved 3 results in weekly.pickle"
    )
    for place in (home, home / "no" / "such.pickle"):
        refused = dolambda("runs", "fetch", "wee", "--local", "--to", str(place), at=home)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 2)


@pytest.mark.usefixtures("shared")
def test_logs(home: Path) -> None:
    def refused() -> list[dict[str, Any]]:
        lines = right("logs", "--local", "--json", at=home).stdout.splitlines()
        return [line for line in map(json.loads, lines) if line["run"] == "abcdefghij/000000"]

    until(lambda: refused() != [])
    (line,) = refused()
    assert line["job"] == 7
    assert line["text"].startswith("refused")
    shown = right("logs", "--local", "--since", "1h", "--run", "abcdefghij", at=home).stdout
    (row,) = shown.splitlines()
    assert row.endswith("(run abcdefghij/000000, job 7)")
    assert row[:10].replace("-", "").isdigit()
    assert right("logs", "--local", "--run", "other", at=home).stdout == (
        "nothing in the last 60 minutes\n"
    )
    assert "START RequestId" in right("logs", "--local", "--all", at=home).stdout
    both = dolambda("logs", "--local", "--since", "1h", "--minutes", "5", at=home)
    assert (both.returncode, len(both.stderr.splitlines())) == (1, 2)


@pytest.mark.usefixtures("shared")
def test_logs_are_followed_until_ctrl_c(home: Path) -> None:
    following = subprocess.Popen(
        [*DOLAMBDA, "logs", "--local", "--follow", "--all"],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert following.stdout is not None
        assert following.stdout.readline()
        following.send_signal(signal.SIGINT)
        _, errors = following.communicate(timeout=60)
        assert (following.returncode, errors) == (0, "")
    finally:
        following.kill()
        following.wait()


@pytest.mark.usefixtures("shared")
def test_panic_and_a_new_key(home: Path) -> None:
    assert "--undo --local" in right("panic", "--local", at=home).stdout
    shown = right("status", "--local", at=home).stdout
    assert "\nstopped            yes\n" in shown
    assert "as it was before" in right("panic", "--undo", "--local", at=home).stdout
    assert "has a new key" in right("rotate-key", "--local", at=home).stdout
    assert "accepts its new key only" in right("rotate-key", "--finish", "--local", at=home).stdout
    assert right("plan", "--local", at=home).stdout == "Nothing to change.\n"


# The last: it deploys two more stacks.
def test_of_several_stacks_one_has_to_be_named(shared: Instance, home: Path) -> None:
    first = json.loads(right("status", "--local", "--json", at=home).stdout)["stack"]
    program = 'import dolambda; print(dolambda.register("local", memory=512).stack.name)'
    made = programs.run("-c", program, cwd=home)
    assert made.returncode == 0, made.stderr
    second = made.stdout.strip()
    assert shared.running
    assert json.loads(right("status", "--local", "--json", at=home).stdout)["stack"] == first
    by_settings = right("status", "--local", "--json", at=home, DOLAMBDA_MEMORY="512")
    assert json.loads(by_settings.stdout)["stack"] == second
    named = right("status", "--local", "--stack", second, "--json", at=home)
    assert json.loads(named.stdout)["memory_mb"] == 512
    unclear = dolambda("status", "--local", at=home, DOLAMBDA_MEMORY="700")
    assert unclear.stderr.startswith("dolambda: the AWS emulated on this machine has 2 stacks: ")
    assert first in unclear.stderr
    assert second in unclear.stderr
