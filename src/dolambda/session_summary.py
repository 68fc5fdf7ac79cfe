"""The summary of a session for REPL and notebook.

**Input:** the session's stack, workers and state. **Output:** one line, or a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dolambda.notebook_table import notebook_table
from dolambda.wording import count, dollars

if TYPE_CHECKING:
    from dolambda.scheduler.report import Report
    from dolambda.stack import Stack

_EMULATED = {
    "own": "AWS emulated here",
    "shared": "AWS emulated here by `dolambda local start`",
}


@dataclass(frozen=True)
class SessionSummary:
    """Facts of a session for its user. Without a stack it runs in this process."""

    stack: Stack | None
    workers: int
    emulator: Literal["own", "shared"] | None
    closed: bool

    def line(self) -> str:
        """Return one line for the REPL."""
        ends = self.emulator == "own" and not self.closed
        end = "; dolambda.unregister() ends it" if ends else ""
        return f"<dolambda: {', '.join(self._facts().values())}{end}>"

    def table(self, report: Report) -> str:
        """Return HTML for a notebook, with the session's counts and cost."""
        rows = self._facts()
        rows["tasks"] = f"{report.done:,} done, {report.failed:,} failed"
        rows["cost"] = dollars(report.cost) + (" if it were AWS" if self.emulator else "")
        return notebook_table("dolambda", rows)

    def _facts(self) -> dict[str, str]:
        facts = {"runs in": "this process", "workers": count(self.workers, "worker")}
        if self.stack:
            stack = f"stack {self.stack.name!r} in {self.stack.region}"
            facts = {
                "runs on": _EMULATED.get(self.emulator or "", stack),
                "Python": f"Python {self.stack.python}",
                "workers": f"{facts['workers']} of {self.stack.memory:,} MB",
                "packages": count(len(self.stack.requires), "package"),
            }
        return {**facts, "state": "closed"} if self.closed else facts
