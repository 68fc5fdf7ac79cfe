"""The bill of a report on AWS.

**Input:** counts and seconds. **Output:** a `Bill` in dollars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolambda.money.prices import BASIS, PRICES
from dolambda.notebook_table import notebook_table
from dolambda.wording import dollars

if TYPE_CHECKING:
    from dolambda.scheduler.report import Report

_MB_PER_GB = 1024


@dataclass(frozen=True)
class Bill:
    """Dollars. ``gb_seconds`` is memory times the time that workers ran."""

    gb_seconds: float
    compute: float
    invocations: float
    requests: float
    architecture: str = "x86_64"

    @classmethod
    def from_report(cls, report: Report, *, memory: int, architecture: str) -> Bill:
        """Return the bill of a report.

        Start-up of workers and the time of crashed jobs are not in the report, so not in the bill.
        Nor are data that leave AWS, lines in the log, and storage.

        Args:
            report: Counts and seconds.
            memory: Memory of a worker, in MB.
            architecture: "arm64" or "x86_64".
        """
        prices = PRICES[architecture]
        gb_seconds = report.seconds * memory / _MB_PER_GB
        requests = sum(prices.s3.get(action, 0.0) * times for action, times in report.calls.items())
        invocations = (report.jobs + report.again + report.copies) * prices.invocation
        return cls(gb_seconds, gb_seconds * prices.gb_second, invocations, requests, architecture)

    @property
    def total(self) -> float:
        """Sum of all costs."""
        return self.compute + self.invocations + self.requests

    def __repr__(self) -> str:
        """Return one line for the REPL."""
        return f"<Bill: {self}>"

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        rows = {
            "total": dollars(self.total),
            f"compute, {self.gb_seconds:,.1f} GB-s": dollars(self.compute),
            "invocations": dollars(self.invocations),
            "S3 requests": dollars(self.requests),
        }
        return notebook_table(f"dolambda: {BASIS}, {self.architecture}", rows)

    def __str__(self) -> str:
        """Return one sentence."""
        return (
            f"{dollars(self.total)}: {self.gb_seconds:,.1f} GB-s {dollars(self.compute)}, "
            f"invocations {dollars(self.invocations)}, S3 requests {dollars(self.requests)} "
            f"({BASIS}, {self.architecture}; without start-up of workers, data transfer and logs)"
        )
