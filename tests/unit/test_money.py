from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from dolambda.aws.request_counter import RequestCounter
from dolambda.money.accounts import Accounts
from dolambda.money.bill import Bill
from dolambda.money.prices import BASIS
from dolambda.money.quote import verdict
from dolambda.scheduler.pilot import Estimate
from dolambda.scheduler.report import Report
from dolambda.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_the_documented_example_comes_out() -> None:
    """10,000 tasks of 1 s at 1,769 MB: $0.288 on x86, $0.230 on arm64; requests $0.002; a PUT and a
    GET each way $0.108.
    """
    calls = {"s3:PutObject": 20_000, "s3:GetObject": 20_000}
    report = Report(tasks=10_000, jobs=10_000, seconds=10_000.0, calls=calls)
    x86, arm = (
        Bill.from_report(report, memory=1769, architecture=name) for name in ("x86_64", "arm64")
    )
    assert x86.compute == pytest.approx(0.288, abs=5e-4)
    assert arm.compute == pytest.approx(0.230, abs=5e-4)
    assert x86.invocations == pytest.approx(0.002)
    assert x86.requests == pytest.approx(0.108)
    assert x86.total == pytest.approx(x86.compute + 0.002 + 0.108)


def test_a_bill_says_whose_prices_it_takes_and_what_is_not_in_it() -> None:
    bill = Bill.from_report(Report(jobs=1, seconds=1.0), memory=1769, architecture="arm64")
    for said in (str(bill), bill._repr_html_()):
        assert f"{BASIS}, arm64" in said
    assert "without start-up of workers, data transfer and logs" in str(bill)


@pytest.mark.parametrize(("said", "goes_on"), [("true", True), ("only", False)])
def test_where_nobody_can_be_asked_only_a_mere_quote_ends_the_run(
    said: str,
    goes_on: bool,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    settings = Settings.resolve(directory=tmp_path, environ={"DOLAMBDA_QUOTE": said})
    estimate = Estimate(tasks=98, each=1.0, workers=2, seconds=49.0, dollars=0.01, spent=0.0)
    assert verdict(estimate, only=settings.quote == "only") is goes_on
    assert "dolambda:" in capsys.readouterr().err


@dataclass(eq=False)
class ARun:
    """A run whose worker was throttled once."""

    name: str = "r"

    def report(self) -> Report:
        return Report(tasks=1, throttled={"s3:PutObject": 1})


def test_a_run_has_the_throttled_requests_of_both_sides() -> None:
    way: Any = SimpleNamespace(calls=RequestCounter())
    way.calls.throttled("s3:PutObject")  # before the run began
    accounts, run = Accounts(way, None, Settings()), ARun()
    accounts.begin(cast("Any", run))
    way.calls.add("s3:PutObject")
    for _ in range(2):
        way.calls.throttled("s3:PutObject")
    assert accounts.report_of(cast("Any", run)).throttles == 3
    report, _ = accounts.end(cast("Any", run))
    assert (report.calls, report.throttled) == ({"s3:PutObject": 1}, {"s3:PutObject": 3})
    assert accounts.report().throttled == {"s3:PutObject": 4}
    shown: list[Report] = []
    accounts.with_cost(shown.append)(run.report())
    assert shown[0].throttles == 1
