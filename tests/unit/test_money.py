from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dolambda.money.bill import Bill
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
