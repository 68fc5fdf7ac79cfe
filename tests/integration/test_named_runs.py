"""Named runs: what has a reply is not run again, whatever became of the client; what was changed
is.
"""

from __future__ import annotations

import logging
import os
import pickle
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda import LambdaExecutor
from dolambda.aws.objects import Bucket
from dolambda.errors import ConfigurationError, RunTakenOverError
from dolambda.named_runs import NamedRun, names
from kills import kill_and_resume
from support import programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dolambda.aws.account import Account, Credentials
    from dolambda.session import Session
    from dolambda.settings import Settings


def noting(path: Path, *, fails: int | None = None) -> Callable[[int], int]:
    """A task that writes down that it has run."""

    def note(x: int) -> int:
        with path.open("a") as file:
            file.write(f"{x}\n")
        if x == fails:
            raise KeyError(x)
        return x * 2

    return note


def run_of(path: Path) -> list[int]:
    return sorted(map(int, path.read_text().split())) if path.exists() else []


@pytest.fixture
def clean(session: Session) -> Iterator[None]:
    yield
    assert session.bucket is not None
    for name in names(session.bucket):
        NamedRun(name, session.bucket, session.key).clean()


@pytest.mark.usefixtures("clean")
def test_begun_again_it_sends_only_what_has_no_reply(session: Session, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    assert session.bucket is not None
    others = names(session.bucket)  # left by other tests
    for inputs, ran, restored in (
        (range(6), 6, 0),
        (range(6), 6, 6),
        (range(9), 9, 6),
        ([0, 0, 1], 10, 2),
    ):
        with LambdaExecutor(run="nightly-17") as executor:
            assert list(executor.map(noting(notes), inputs)) == [x * 2 for x in inputs]
            assert executor.report.restored == restored
        assert len(run_of(notes)) == ran
    assert session.bucket.list("jobs/") == []
    assert sorted(names(session.bucket)) == sorted([*others, "nightly-17"])


@pytest.mark.usefixtures("session", "clean")
def test_changed_code_is_noticed_and_failures_are_kept_too(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    for fails, restored in ((2, 0), (2, 3), (None, 0)):
        with LambdaExecutor(run="changing") as executor:
            outcomes = [
                future.exception(60)
                for future in [executor.submit(noting(notes, fails=fails), x) for x in range(3)]
            ]
            assert [type(outcome) for outcome in outcomes] == [
                type(None),
                type(None),
                KeyError if fails else type(None),
            ]
            assert executor.report.restored == restored
    assert run_of(notes) == [0, 0, 1, 1, 2, 2]


@pytest.mark.usefixtures("session")
def test_what_cannot_be_kept_is_refused() -> None:
    for name in ("", "Nightly", "a/b", "x" * 41):
        with pytest.raises(ConfigurationError, match="is not a name for a run"):
            LambdaExecutor(run=name)
    with pytest.raises(ConfigurationError, match="keeps no replies"):
        LambdaExecutor(run="nightly", transport="direct")


@pytest.mark.usefixtures("clean", "session")
def test_one_session_does_not_begin_the_same_run_twice_at_a_time() -> None:
    with (
        LambdaExecutor(run="once"),
        pytest.raises(ConfigurationError, match="already open in this session"),
    ):
        LambdaExecutor(run="once")


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    ("taker", "said"),
    [
        (NamedRun.begin, "was begun again by another program"),
        (NamedRun.cancel, "was cancelled by `dolambda runs cancel`"),
        (NamedRun.clean, "was removed by `dolambda runs clean`"),
    ],
)
def test_a_client_whose_run_was_taken_over_ends_with_an_error_that_says_so(
    session: Session, taker: Callable[[NamedRun], object], said: str
) -> None:
    """It would wait for replies to jobs that are withdrawn, until max_wait is over."""

    def sleep() -> None:
        time.sleep(30)

    assert session.bucket is not None
    with LambdaExecutor(run="shared") as executor:
        futures = [executor.submit(sleep) for _ in range(9)]
        other = NamedRun("shared", session.bucket, session.key)
        until = time.monotonic() + 60
        while not other.jobs() and time.monotonic() < until:
            time.sleep(0.1)
        taker(other)
        for future in futures:
            with pytest.raises(RunTakenOverError, match=said):
                future.result(120)
        with pytest.raises(RunTakenOverError, match=said):
            executor.submit(sleep)
    now = other.record()
    assert (now and now.start) == (other.began.start if other.began else now and "")


@pytest.mark.usefixtures("clean")
def test_a_forged_reply_is_left_out(
    session: Session, admin: Account, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert session.bucket is not None
    admin.client("s3").put_object(
        Bucket=session.bucket.name, Key="outs/run.forged/000000/000000000", Body=b"not signed"
    )
    with LambdaExecutor(run="forged") as executor:
        assert executor.submit(noting(tmp_path / "notes"), 1).result(60) == 2
    assert "is left out" in caplog.text


def test_the_commands(
    session: Session, deployed: tuple[Settings, Credentials], tmp_path: Path
) -> None:
    settings, credentials = deployed
    with LambdaExecutor(run="shown") as executor:
        assert list(executor.map(abs, [-1, -2, 3])) == [1, 2, 3]
        with pytest.raises(TypeError):
            executor.submit(len, 3).result(60)  # type: ignore[arg-type] # so that it fails

    def cli(*arguments: str) -> str:
        where = {
            "AWS_ACCESS_KEY_ID": str(credentials.key),
            "AWS_SECRET_ACCESS_KEY": str(credentials.secret),
        }
        there = {
            "DOLAMBDA_REGION": str(settings.region),
            "DOLAMBDA_ENDPOINT_URL": str(settings.endpoint_url),
        }
        kept = {name: os.environ[name] for name in os.environ if name.startswith("PYTHON")}
        kept |= {"PATH": os.environ["PATH"], "COLUMNS": "120", "XDG_STATE_HOME": str(tmp_path)}
        done = programs.run(
            "-m", "dolambda", "runs", *arguments, env=kept | where | there, cwd=tmp_path
        )
        return done.stdout + done.stderr

    listed = cli("list")
    assert "shown" in listed
    assert "4" in listed
    shown = cli("show", "shown")
    assert "shown: 3 tasks returned, 1 raised, 0 were lost" in shown
    assert "its last client finished: 3 done, 1 failed, of 4 tasks" in shown
    assert "saved 4 results in shown.pickle" in cli("fetch", "shown")
    results = pickle.loads((tmp_path / "shown.pickle").read_bytes())  # noqa: S301 - our own
    assert {number: result for number, result in results.items() if number < 3} == {
        0: 1,
        1: 2,
        2: 3,
    }
    assert isinstance(results[3], TypeError)
    with LambdaExecutor(run="shown") as executor:
        assert list(executor.map(abs, [-9, -1, -2, 3])) == [9, 1, 2, 3]
        assert executor.report.restored == 3
    told = cli("fetch", "shown", "--to", "again.pickle")
    assert "saved 4 results in again.pickle" in told
    assert "left out 1 result of earlier starts" in told
    results = pickle.loads((tmp_path / "again.pickle").read_bytes())  # noqa: S301 - our own
    assert results == {0: 9, 1: 1, 2: 2, 3: 3}
    assert f"--to '{tmp_path}' is a directory" in cli("fetch", "shown", "--to", str(tmp_path))
    assert "the directory 'lacking' does not exist" in cli(
        "fetch", "shown", "--to", "lacking/x.pickle"
    )
    (tmp_path / "again.py").write_text("import sys; print('begun again with', sys.argv[1:])")
    assert session.bucket is not None
    run = NamedRun("shown", session.bucket, session.key)
    record = run.record()
    assert record is not None
    run.write(replace(record, directory=str(tmp_path), script="again.py"))
    assert "begun again with ['--fast', 'x']" in cli("resume", "shown", "--", "--fast", "x")
    run.write(replace(record, host="elsewhere"))
    assert "the program that began 'shown' is not on this machine: it ran on elsewhere" in cli(
        "resume", "shown"
    )
    assert "withdrew 0 jobs" in cli("cancel", "shown")
    assert "of shown" in cli("clean", "shown")
    assert "no run 'shown' exists" in cli("show", "shown")
    assert "no runs yet" in cli()


def test_a_client_that_is_killed_loses_nothing_that_has_a_reply(tmp_path: Path) -> None:
    """Some kills here, fifty in `make soak`."""
    again, right = kill_and_resume(tmp_path, times=3, tasks=80, seed=1)
    assert again == set()
    assert right


@pytest.mark.usefixtures("clean")
def test_variables_reach_workers_and_are_kept_nowhere(
    session: Session, admin: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """They are in jobs, which are removed; in nothing that stays."""
    caplog.set_level(logging.DEBUG)
    secret = "hunter2-0123456789"  # noqa: S105 - it opens nothing

    def length() -> int:
        return len(os.environ.get("TOKEN", ""))

    with LambdaExecutor(run="hidden", env={"TOKEN": secret}) as executor:
        assert [executor.submit(length).result(60) for _ in range(3)] == [18] * 3
    with LambdaExecutor(run="plain") as executor:
        assert executor.submit(length).result(60) == 0
    assert session.bucket is not None
    everything = Bucket.from_account(admin, session.bucket.name)
    there = everything.list("")
    assert {"runs/hidden", "runs/plain"} <= set(there)
    for key in there:
        assert secret.encode() not in everything.get(key), key
    assert secret not in caplog.text
    with LambdaExecutor(run="hidden", env={"TOKEN": "another"}) as executor:
        assert (
            executor.submit(length).result(60) == 18
        )  # restored: variables are not part of a task
