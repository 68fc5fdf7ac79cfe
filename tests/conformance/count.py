"""Run the suites of others and count: ``make conformance``.

CI runs them too, with all tests; this prints what of each passed.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

SUITES = {
    "test_cpython_executor.py": "CPython's own executor suite",
    "test_joblib_parallel.py": "joblib's own test_parallel",
    "test_sklearn.py": "scikit-learn, bit for bit as on loky",
    "test_golden.py": "foreach, as real R has it",
}


class Count:
    """A pytest plugin."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.reasons: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count each test once, and keep why one did not pass."""
        outcome = (
            "expected to fail" if hasattr(report, "wasxfail") and report.skipped else report.outcome
        )
        if (
            report.when == "call"
            or (report.when == "setup" and outcome != "passed")
            or (report.when == "teardown" and report.failed)
        ):
            self.note(Path(report.fspath).name, outcome)
            if outcome == "expected to fail":
                self.reasons.append(
                    f"  {report.nodeid.split('::')[-1]}: {getattr(report, 'wasxfail', '')}"
                )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep why a whole file was skipped."""
        if report.skipped and isinstance(report.longrepr, tuple):
            self.note(Path(report.fspath).name, "skipped")
            self.reasons.append(f"  {Path(report.fspath).name}: {report.longrepr[2]}")

    def note(self, file: str, outcome: str) -> None:
        self.counts.setdefault(file, Counter())[outcome] += 1


if __name__ == "__main__":
    count = Count()
    code = pytest.main(
        ["-q", "--no-header", "-p", "no:cacheprovider", str(Path(__file__).parent)], plugins=[count]
    )
    print()
    for file, suite in SUITES.items():
        print(
            f"{suite:<40}",
            ", ".join(
                f"{number} {outcome}"
                for outcome, number in sorted(count.counts.get(file, {}).items())
            )
            or "not run",
        )
    print("\nWhat does not pass, and why:", *sorted(count.reasons), sep="\n")
    sys.exit(code)
