"""``dolambda runs`` lists what this machine has recorded."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from dolambda.cli.recorded_runs import run_in_log, show_record
from dolambda.errors import ConfigurationError
from dolambda.records.file_format import footer_frame
from dolambda.records.store import RecordStore, read_ends, records_directory
from support import programs
from support.records import append, some_tasks

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

PROGRAM = """
import sys
import dolambda

def f(x):
    if x == 7:
        raise ValueError("hunter2")
    return x

if __name__ == "__main__":
    with dolambda.register("local", transport="in_process", workers=2, progress=False):
        with dolambda.LambdaExecutor() as executor:
            list(executor.map(f, range(int(sys.argv[1])), return_exceptions=True))
"""


def run(at: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(at),
        "XDG_STATE_HOME": str(at / "state"),
        "XDG_RUNTIME_DIR": str(at),
        "TMPDIR": str(at),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return programs.run(*command, cwd=at, env=env)


def runs(at: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(at, "-m", "dolambda", "runs", *arguments)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "work.py").write_text(PROGRAM)
    for tasks in ("5", "10"):
        done = run(tmp_path, "work.py", tasks)
        assert done.returncode == 0, done.stderr
    return tmp_path


def test_what_was_throttled_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    store, throttled = RecordStore(records_directory()), {"s3:PutObject": 1_003}
    append(store, "abc", some_tasks(20).to_bytes())
    ended = {"tasks": 20, "done": 20, "failed": 0, "elapsed": 2.0, "cost": 0.1, "ended": 9.0}
    footer = {**ended, "throttled": throttled}
    append(store, "abc", footer_frame(footer))
    (path,) = store.paths()
    show_record(path, as_json=False)
    assert "throttled: s3:PutObject, 1,003 times" in capsys.readouterr().out
    show_record(path, as_json=True)
    assert json.loads(capsys.readouterr().out)["throttled"] == throttled


def test_tasks_that_joblib_had_not_submitted_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    store = RecordStore(records_directory())
    append(store, "abc", some_tasks(20).to_bytes())
    ended = {"tasks": 24, "expected": 1_000, "done": 20, "failed": 0, "elapsed": 2.0, "cost": 0.1}
    append(store, "abc", footer_frame({**ended, "ended": 9.0}))
    (path,) = store.paths()
    show_record(path, as_json=False)
    assert "replies: 20 of 1,000 tasks in " in capsys.readouterr().out
    show_record(path, as_json=True)
    assert json.loads(capsys.readouterr().out)["tasks"] == 1_000


@pytest.mark.usefixtures("home")
def test_the_log_knows_a_run_by_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    latest, first = RecordStore(records_directory()).paths()
    names = [str(read_ends(path)[0]["run"]) for path in (latest, first)]
    assert len(set(names)) == 2
    assert run_in_log("last") == names[0]
    assert run_in_log(RecordStore.id_of(first)) == names[1]
    assert run_in_log(RecordStore.id_of(first)[:-1]) == names[1]
    assert run_in_log(names[1]) == names[1]
    assert run_in_log("nightly") == "nightly"  # of a stack, by its own name


def test_the_log_has_no_last_run_where_none_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with pytest.raises(ConfigurationError, match="no run 'last' is recorded"):
        run_in_log("last")


def test_all_runs_are_listed_and_shown(home: Path) -> None:
    done = runs(home, "--json")
    listed = json.loads(done.stdout)
    assert [(one["tasks"], one["failed"], one["state"]) for one in listed] == [
        (10, 1, "complete"),
        (5, 0, "complete"),
    ]
    assert "named runs of a stack are not listed" in done.stderr
    table = runs(home).stdout
    assert all(one["run"] in table for one in listed)
    first = listed[1]["run"]
    shown = json.loads(runs(home, "show", first[:6], "--json").stdout)
    assert (shown["run"], shown["failed"]) == (first, 0)
    last = runs(home, "show", "last").stdout
    assert last.startswith(f"{listed[0]['run']}: complete")
    assert "1 builtins.ValueError" in last
    assert "hunter2" not in last
    assert str(home / "work.py") in last
    assert run(home, "-m", "dolambda", "report", "--to", "run.html").stdout == "wrote run.html\n"
    assert f"Run {listed[0]['run']}" in (home / "run.html").read_text(encoding="utf-8")


def test_the_list_names_programs_and_leaves_out_empty_columns(home: Path) -> None:
    head, *rows = runs(home).stdout.splitlines()
    assert head.split() == ["run", "last", "change", "state", "tasks", "failed", "jobs", "program"]
    assert rows
    assert {row.split()[-1] for row in rows} == {"work.py"}


def test_of_a_named_run_the_record_is_shown_if_its_stack_is_not_found(home: Path) -> None:
    (path, *_) = (home / "state" / "dolambda" / "runs").iterdir()
    head, line, rest = path.read_bytes().partition(b"\n")
    named = path.with_name(path.name.replace(RecordStore.id_of(path), "nightly-17"))
    named.write_bytes(json.dumps(json.loads(head) | {"name": "nightly"}).encode() + line + rest)
    shown = runs(home, "show", "nightly")
    assert shown.returncode == 0, shown.stderr
    assert "only what this machine has recorded is shown: no AWS credentials" in shown.stderr
    assert str(home / "work.py") in shown.stdout
    refused = runs(home, "show", "nightly", "--local")
    assert (refused.returncode, refused.stdout) == (1, "")


def test_advice_is_printed_for_people_and_scripts(home: Path) -> None:
    listed = json.loads(runs(home, "--json").stdout)
    said = run(home, "-m", "dolambda", "advise").stdout
    assert said == f"{listed[0]['run']}: 10 tasks\n  nothing to change\n"
    first = listed[1]["run"]
    facts = json.loads(run(home, "-m", "dolambda", "advise", first[:6], "--json").stdout)
    assert (facts["run"], facts["tasks"], facts["advice"]) == (first, 5, [])
    assert run(home, "-m", "dolambda", "advise", "nothing-like-it").returncode == 1


def test_a_run_that_does_not_exist_is_two_lines(home: Path) -> None:
    done = runs(home, "show", "nothing-like-it")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
