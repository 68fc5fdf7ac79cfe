"""What a long task prints is seen while it runs (``logs="live"``), on both transports.

A task prints, and then waits until the test has seen it: for a file. So no test here looks at a
clock.
"""

from __future__ import annotations

import io
import threading
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, Literal

import joblib
import pytest

from dolambda import LambdaExecutor, foreach
from dolambda.errors import WorkerCrashedError
from dolambda.money.prices import PRICES
from dolambda.named_runs import NamedRun
from dolambda.wire import keys
from support.printing_tasks import (
    SAID,
    fails_the_first_time,
    prints_and_sleeps,
    waits,
    waits_and_dies,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dolambda.aws.account import Account
    from dolambda.session import Session

Way = Literal["queue", "direct"]
WAYS: tuple[Way, ...] = ("queue", "direct")
LINES = [f"[task 0] {line}" for line in SAID]


class Output(io.StringIO):
    """Standard output that makes a file once it has a text."""

    def __init__(self, text: str, go_on: Path) -> None:
        super().__init__()
        self._text, self._go_on = text, go_on
        self.seen = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if self._text in self.getvalue():
            self._go_on.touch()
            self.seen.set()
        return written

    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


@pytest.fixture
def go_on(tmp_path: Path) -> Path:
    """The file that tasks wait for."""
    return tmp_path / "go on"


@pytest.fixture
def output(go_on: Path) -> Output:
    return Output("waiting", go_on)


def objects(session: Session) -> list[str]:
    assert session.bucket
    return session.bucket.list("outs/") + session.bucket.list("jobs/")


def by_executor(path: str, **more: Any) -> bool:
    with LambdaExecutor(**more) as executor:
        return executor.submit(waits, path).result(60)


def by_joblib(path: str, **more: Any) -> bool:
    with joblib.parallel_config("dolambda", **more):
        found: list[bool] = joblib.Parallel(n_jobs=2)([joblib.delayed(waits)(path)])
    return found[0]


def by_foreach(path: str, **more: Any) -> bool:
    loop = foreach(path=[path], options={"dolambda": more})
    return bool(loop.dopar(waits)[0])


@pytest.mark.parametrize(
    ("front", "way"), [(by_executor, "direct"), (by_joblib, "queue"), (by_foreach, "direct")]
)
def test_a_line_is_seen_before_its_task_ends_and_once(
    session: Session, output: Output, go_on: Path, front: Callable[..., bool], way: Way
) -> None:
    with redirect_stdout(output):
        assert front(str(go_on), logs="live", transport=way) is True
    assert output.lines() == LINES
    assert objects(session) == []


@pytest.mark.parametrize("way", WAYS)
def test_parts_are_on_the_bill_and_within_the_budget(
    session: Session, output: Output, go_on: Path, way: Way
) -> None:
    with (
        redirect_stdout(output),
        LambdaExecutor(logs="live", transport=way, budget=0.05) as executor,
    ):
        assert executor.submit(waits, str(go_on)).result(60) is True
        assert executor._run.limits.rates.live  # so a job is reserved with its parts
    by_worker = executor._run.report().calls
    parts = by_worker["s3:PutObject"] - (way == "queue")  # which writes the reply
    assert parts >= 1
    assert by_worker["s3:GetObject"] >= parts  # before each: is the job still wanted?
    calls = session.report().calls
    assert calls["s3:GetObject"] >= by_worker["s3:GetObject"] + parts
    assert calls["s3:ListBucket"] >= 1
    prices = PRICES["x86_64"].s3
    least = parts * (prices["s3:PutObject"] + 2 * prices["s3:GetObject"])
    assert session.bill().requests >= least + prices["s3:ListBucket"]


@pytest.mark.usefixtures("session")
def test_nothing_is_sent_early_unless_it_is_asked_for(output: Output) -> None:
    with redirect_stdout(output), LambdaExecutor() as executor:
        executor.submit(prints_and_sleeps, 3).result(60)
    assert output.lines() == ["[task 0] one"]
    assert executor._run.report().calls["s3:PutObject"] == 1  # the reply


@pytest.mark.parametrize("way", WAYS)
def test_what_a_cancelled_task_printed_was_seen_and_nothing_is_left(
    session: Session, output: Output, tmp_path: Path, way: Way
) -> None:
    with redirect_stdout(output):
        executor = LambdaExecutor(logs="live", transport=way)
        future = executor.submit(waits, str(tmp_path / "never"))
        assert output.seen.wait(60)
        executor._run.cancel()  # as Ctrl-C does
    assert future.exception(0) is not None
    assert output.lines() == LINES[:-1]
    assert objects(session) == []


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("way", WAYS)
def test_what_a_task_printed_that_ended_its_process_was_seen(
    output: Output, go_on: Path, way: Way
) -> None:
    with redirect_stdout(output), LambdaExecutor(logs="live", transport=way) as executor:
        future = executor.submit(waits_and_dies, str(go_on))
        with pytest.raises(WorkerCrashedError):
            future.result(60)
    assert output.lines()[:3] == LINES[:3]


@pytest.mark.usefixtures("session")
def test_a_task_that_is_retried_is_seen_again(output: Output, go_on: Path, tmp_path: Path) -> None:
    with redirect_stdout(output), LambdaExecutor(logs="live", retries=1) as executor:
        future = executor.submit(fails_the_first_time, str(go_on), str(tmp_path / "again"))
        assert future.result(60) is True
    assert output.lines() == LINES * 2


def test_a_named_run_keeps_no_parts_and_shows_nothing_of_what_was_done_before(
    session: Session, output: Output, go_on: Path
) -> None:
    name = f"live-{go_on.parent.name[-20:].strip('-_')}"
    for _ in range(2):
        with redirect_stdout(output), LambdaExecutor(logs="live", run=name) as executor:
            assert executor.submit(waits, str(go_on)).result(60) is True
    assert output.lines() == LINES
    assert session.bucket
    run = NamedRun(name, session.bucket, session.key)
    assert session.bucket.list(keys.parts_prefix(run.run)) == []
    run.clean()


def test_parts_that_others_wrote_are_not_shown(
    session: Session, output: Output, go_on: Path, admin: Account
) -> None:
    assert session.bucket
    with redirect_stdout(output), LambdaExecutor(logs="live") as executor:
        forged = keys.part_key(executor._run.name, 0, 1, "abc123", 0)
        admin.client("s3").put_object(Bucket=session.bucket.name, Key=forged, Body=b"waiting\n")
        assert executor.submit(waits, str(go_on)).result(60) is True
    assert output.lines() == LINES
    assert objects(session) == []
