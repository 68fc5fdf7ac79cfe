"""The record of a run: what was recorded is read again, and no disk fails a run."""

from __future__ import annotations

import logging
import os
import platform
import stat
import subprocess
import sys
import time
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dolambda import LambdaExecutor
from dolambda.errors import ConfigurationError
from dolambda.money.bill import Bill
from dolambda.records.file_format import (
    Block,
    JobEntry,
    RecordReader,
    RunRecord,
    footer_of,
    header_of,
)
from dolambda.records.recorder import SessionRecords
from dolambda.records.state import run_state
from dolambda.records.store import RecordStore
from dolambda.scheduler.report import Report
from dolambda.session import Session
from dolambda.settings import Settings
from dolambda.wire.outcome import PackedOutcome, Usage
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "hunter2-0123456789"  # noqa: S105 - it opens nothing


def reply(number: int, *outcomes: PackedOutcome) -> Reply:
    table = replace(
        OutcomeTable.from_outcomes(outcomes, 0.5), peak=array("f", [64.0] * len(outcomes))
    )
    return Reply("c/000000", number, 1, table, Usage("env-1", number == 0, 1e9, 2.0))


def returned(index: int) -> PackedOutcome:
    return PackedOutcome.from_value(index, SECRET, 0.25)


def raised(index: int) -> PackedOutcome:
    return PackedOutcome.from_exception(index, ValueError(SECRET * 100), 0.25)


def records(store: RecordStore, **options: Any) -> SessionRecords:
    return SessionRecords(store, {"stack": "s"}, **options)


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "state" / "runs")


def test_what_was_recorded_is_read_again(store: RecordStore) -> None:
    recorder = records(store).recorder("c/000000", None)
    assert recorder
    recorder.take(reply(0, returned(0), returned(1)))
    recorder.take(reply(1, returned(2), raised(3)))
    recorder.end(Report(tasks=4, done=3, failed=1), Bill(1.0, 0.5, 0.0, 0.0))
    data = store.find("last").read_bytes()
    record = RunRecord.from_bytes(data)
    assert record.header["run"] == "c/000000"
    assert record.header["stack"] == "s"
    assert list(record.tasks.kinds) == [0, 0, 0, 1]
    assert list(record.tasks.seconds) == [0.25] * 4
    assert list(record.tasks.started) == [0.5] * 4
    assert list(record.tasks.peak) == [64.0] * 4
    assert record.tasks.jobs == [
        JobEntry(0, 1, "env-1", True, 1e9, 2.0, ((0, 2),)),  # noqa: FBT003 - a named tuple
        JobEntry(1, 1, "env-1", False, 1e9, 2.0, ((2, 2),)),  # noqa: FBT003 - a named tuple
    ]
    assert record.footer
    assert (record.footer["done"], record.footer["failed"]) == (3, 1)
    assert record.footer["cost"] == 0.5
    assert footer_of(data[-2000:]) == record.footer


@pytest.mark.parametrize("keep", [False, True])
def test_results_are_never_kept_and_messages_only_if_wanted(
    *, keep: bool, store: RecordStore
) -> None:
    recorder = records(store, keep_messages=keep).recorder("c/000000", "nightly")
    assert recorder
    recorder.take(reply(0, returned(0), raised(1)))
    recorder.end(Report(), Bill(0.0, 0.0, 0.0, 0.0))
    data = store.find("nightly").read_bytes()
    (error,) = RunRecord.from_bytes(data).tasks.errors
    assert (error.task, error.kind, error.type) == (1, "failure", "builtins.ValueError")
    assert (SECRET.encode() in data) is keep
    assert len(error.message) == (500 if keep else 0)


def test_a_file_that_was_cut_off_anywhere_is_read_as_far_as_it_goes(store: RecordStore) -> None:
    recorder = records(store).recorder("c/000000", None)
    assert recorder
    for number in range(3):
        recorder.take(reply(number, returned(2 * number), returned(2 * number + 1)))
        recorder._flush()  # each in a block of its own
    recorder.end(Report(), Bill(0.0, 0.0, 0.0, 0.0))
    data = store.find("last").read_bytes()
    begin = data.index(b"\n") + 1
    counts = [len(RunRecord.from_bytes(data[:end]).tasks) for end in range(begin, len(data) + 1)]
    assert sorted(set(counts)) == [0, 2, 4, 6]
    assert counts == sorted(counts)
    damaged = bytearray(data)
    damaged[begin + 30] ^= 1
    assert len(RunRecord.from_bytes(bytes(damaged)).tasks) == 0


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{}\n", b'{"format": 99, "id": "x"}\n', b"\xff" * 99]
)
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match="not a record of format 1"):
        header_of(data)


def test_only_the_owner_reads_records(store: RecordStore) -> None:
    before = os.umask(0)
    try:
        os.close(store.create("one"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.find("one").stat().st_mode) == 0o600


def test_the_oldest_records_are_removed(tmp_path: Path) -> None:
    store = RecordStore(tmp_path, max_runs=3, max_bytes=25, max_days=1)
    for age, name in enumerate(("new", "old", "older", "oldest")):
        file = tmp_path / f"{name}.run"
        file.write_bytes(b"x" * 10)
        os.utime(file, (time.time() - 60 * age, time.time() - 60 * age))
    (tmp_path / "mine.txt").write_text("not a record")
    store.prune(keep=3)
    assert [store.id_of(path) for path in store.paths()] == ["new", "old"]  # 20 of 25 bytes
    os.utime(tmp_path / "old.run", (time.time() - 2 * 86_400,) * 2)
    os.close(store.create("newest"))
    assert {store.id_of(path) for path in store.paths()} == {"newest", "new"}
    assert (tmp_path / "mine.txt").exists()


def test_a_run_is_found_by_the_beginning_of_its_id(store: RecordStore) -> None:
    for name in ("abc1", "abd2"):
        os.close(store.create(name))
    assert store.id_of(store.find("abc")) == "abc1"
    with pytest.raises(
        ConfigurationError, match="2 runs have names that begin with 'ab': abc1 and abd2"
    ):
        store.find("ab")
    with pytest.raises(ConfigurationError, match="no run 'x' is recorded"):
        store.find("x")


def test_the_name_of_a_named_run_means_its_latest_start(store: RecordStore) -> None:
    for age, name in enumerate(("night-0000000b", "night-0000000a", "nightly-0000000c")):
        os.close(store.create(name))
        os.utime(store.path_of(name), (time.time() - 60 * age,) * 2)
    assert store.id_of(store.find("night")) == "night-0000000b"
    assert store.id_of(store.find("night-0000000a")) == "night-0000000a"
    with pytest.raises(ConfigurationError, match="3 runs have names"):
        store.find("nigh")


def test_a_disk_that_cannot_be_written_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "runs").write_text("a file where the directory should be")
    session = records(RecordStore(tmp_path / "runs"))
    opened = [session.recorder(f"c/{number:06d}", None) for number in range(2)]
    with caplog.at_level(logging.WARNING, "dolambda"):
        for recorder in opened:
            assert recorder
            recorder.take(reply(0, returned(0)))
            recorder.take(reply(1, returned(1)))
            recorder.end(Report(), Bill(0.0, 0.0, 0.0, 0.0))
    assert [entry.message.partition(":")[0] for entry in caplog.records] == [
        "dolambda no longer records runs"
    ]
    assert session.recorder("c/000002", None) is None


class FullStore(RecordStore):
    """A directory on a disk without space."""

    def create(self, run: str) -> int:  # noqa: ARG002 - as the store has it
        return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")  # noqa: PTH110
def test_a_full_disk_is_one_warning_and_no_failed_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = records(FullStore(tmp_path / "runs"))
    opened = [session.recorder(f"c/{number:06d}", None) for number in range(2)]
    with caplog.at_level(logging.WARNING, "dolambda"):
        for recorder in opened:
            assert recorder
            recorder.begin(lambda: Report(tasks=2))
            recorder.take(reply(0, returned(0)))
            recorder._flush()
            recorder.take(reply(1, returned(1)))
            recorder.end(Report(), Bill(0.0, 0.0, 0.0, 0.0))
    (entry,) = caplog.records
    assert entry.message == (
        "dolambda no longer records runs: No space left on device (record=False turns it off)"
    )


@pytest.mark.parametrize(
    ("done", "tasks", "expected", "state"),
    [(4, 4, 4, "complete"), (3, 4, 4, "cancelled"), (4, 4, 1000, "cancelled")],
)
def test_a_run_that_ended_is_complete_or_was_cancelled(
    done: int, tasks: int, expected: int, state: str
) -> None:
    footer = {"done": done, "failed": 0, "tasks": tasks, "expected": expected}
    assert run_state({}, footer) == state


def test_a_run_without_a_footer_runs_or_was_killed() -> None:
    here = {"host": platform.node(), "pid": os.getpid()}
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert run_state(here, None) == "running"
    assert run_state({**here, "pid": ended.pid}, None) == "unfinished"
    assert run_state({**here, "host": "elsewhere"}, None) == "unfinished"


def test_the_last_run_that_ended_advises(store: RecordStore) -> None:
    session = SessionRecords(store, {"stack": "s", "memory": 1769, "timeout": 60})
    assert session.advice() == {}
    waiting, quick = (session.recorder(f"c/{number:06d}", None) for number in range(2))
    assert waiting
    assert quick
    # 64 MB, and no CPU.
    waiting.take(reply(0, *(PackedOutcome.from_value(index, 1, 1.0) for index in range(2))))
    assert session.advice() == {}
    waiting.end(Report(), Bill(0.0, 0.0, 0.0, 0.0))
    found = session.advice()
    assert found["memory"].startswith("tasks used at most 64 MB of 1,769: memory=")
    assert session.advice() == found
    quick.end(Report(), Bill(0.0, 0.0, 0.0, 0.0))  # it has no file
    assert session.advice() == found
    for path in store.paths():
        path.unlink()
    assert SessionRecords(store, {}).advice() == {}


def test_a_run_without_a_reply_has_no_file(store: RecordStore) -> None:
    recorder = records(store).recorder("c/000000", None)
    assert recorder
    recorder.end(Report(), Bill(0.0, 0.0, 0.0, 0.0))
    assert store.paths() == []


@pytest.mark.parametrize("wanted", [True, False])
def test_a_session_records_its_runs(
    *, wanted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings = Settings(transport="in_process", workers=2, progress=False, record=wanted)
    with Session.open(settings) as session, LambdaExecutor(session=session) as executor:
        assert list(executor.map(abs, range(-300, 0))) == list(range(300, 0, -1))
    paths = RecordStore(tmp_path / "dolambda" / "runs").paths()
    assert len(paths) == wanted
    if wanted:
        record = RunRecord.from_bytes(paths[0].read_bytes())
        assert len(record.tasks) == 300
        spans = [span for job in record.tasks.jobs for span in job.spans]
        assert sorted(n for first, size in spans for n in range(first, first + size)) == list(
            range(300)
        )
        assert record.footer
        assert record.footer["done"] == 300


def test_an_empty_block_is_nothing() -> None:
    assert len(Block()) == 0


def until(found: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not found() and time.monotonic() < deadline:
        time.sleep(0.02)
    return found()


def test_a_reply_is_in_the_file_though_no_other_follows(store: RecordStore) -> None:
    recorder = records(store).recorder("c/000000", None)
    assert recorder
    recorder.begin(lambda: Report(tasks=9, done=1, running=2))
    recorder.take(reply(0, returned(0)))
    assert until(lambda: bool(store.paths()))
    record = RunRecord.from_bytes(store.find("last").read_bytes())
    assert len(record.tasks) == 1
    assert (record.counts["tasks"], record.counts["running"]) == (9, 2)
    assert record.footer is None
    recorder.take(reply(1, returned(1)))
    assert until(lambda: len(RunRecord.from_bytes(store.find("last").read_bytes()).tasks) == 2)
    recorder.end(Report(tasks=9, done=9), Bill(0.0, 0.0, 0.0, 0.0))


def test_a_run_is_seen_before_its_first_reply(store: RecordStore) -> None:
    recorder = records(store).recorder("c/000000", None)
    assert recorder
    recorder.begin(lambda: Report(tasks=9))
    assert until(lambda: bool(store.paths()))
    recorder.end(Report(tasks=9), Bill(0.0, 0.0, 0.0, 0.0))
    assert RunRecord.from_bytes(store.find("last").read_bytes()).footer


def test_nothing_is_written_after_the_end(store: RecordStore) -> None:
    recorder = records(store).recorder("c/000000", None)
    assert recorder
    recorder.begin(lambda: Report(tasks=1, done=1))
    recorder.take(reply(0, returned(0)))
    recorder.end(Report(tasks=1, done=1), Bill(0.0, 0.0, 0.0, 0.0))
    data = store.find("last").read_bytes()
    recorder.take(reply(1, returned(1)))
    recorder._flush()
    assert store.find("last").read_bytes() == data


def test_a_record_is_read_in_parts_of_any_size(store: RecordStore) -> None:
    recorder = records(store).recorder("c/000000", None)
    assert recorder
    for number in range(3):
        recorder.take(reply(number, returned(2 * number), raised(2 * number + 1)))
        recorder._flush()
    recorder.end(Report(), Bill(0.0, 0.0, 0.0, 0.0))
    data = store.find("last").read_bytes()
    whole = RunRecord.from_bytes(data)
    for size in (1, 7, 100, len(data)):
        reader = RecordReader()
        for at in range(0, len(data), size):
            reader.feed(data[at : at + size])
        assert reader.record.tasks.jobs == whole.tasks.jobs
        assert reader.record.tasks.seconds == whole.tasks.seconds
        assert reader.record.footer == whole.footer
