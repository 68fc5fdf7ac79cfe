"""The report of the first hour, which a person reads and may send."""

from __future__ import annotations

import platform
import traceback
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.first_hour.ledger import Ledger
    from support.first_hour.redaction import Redactor

ISSUES = "https://github.com/dolambda/dolambda/issues"
_FRAMES = 12


@dataclass(frozen=True)
class Result:
    """The result of one step, redacted: "passed", "failed", "skipped", "refused" or "not run"."""

    name: str
    finding: str
    outcome: str
    seconds: float = 0.0
    dollars: float = 0.0
    said: str = ""


@dataclass
class Report:
    """What the report says."""

    place: str
    redact: Redactor
    ledger: Ledger
    results: list[Result] = field(default_factory=list)

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        passed = sum(result.outcome == "passed" for result in self.results)
        spent, cap = self.ledger.spent, self.ledger.cap
        passed_of = f"{passed} of {len(self.results)} steps passed"
        lines = [
            "# dolambda: the first hour on an account",
            "",
            f"{passed_of}, at most ${spent:.4f} spent (cap: ${cap:.2f}).",
            "",
            f"- place: {self.place}",
            *(f"- {name}: {value}" for name, value in versions().items()),
            "",
            "| step | finding | outcome | seconds | dollars |",
            "|---|---|---|---|---|",
            *(
                f"| {one.name} | {one.finding} | {one.outcome} | {one.seconds:.1f} "
                f"| {one.dollars:.4f} |"
                for one in self.results
            ),
        ]
        for one in self.results:
            if one.said:
                lines += ["", f"## {one.name}: {one.outcome}", "", "```text", one.said, "```"]
        lines += ["", f"Please read it, and send it in an issue: {ISSUES}", ""]
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write it, also while steps remain: what was learned so far is kept."""
        path.write_text(self.to_markdown(), encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the versions of what takes part."""
    found = {"Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}"}
    return found | {name: version(name) for name in ("dolambda", "boto3", "botocore", "obstore")}


def told(error: BaseException) -> str:
    """Return an error with its causes and its places in the source, still to be redacted."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(lines) < _FRAMES:
        lines.append(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__
    lines += (
        f"  in {Path(frame.filename).name}, line {frame.lineno}, {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    )
    return "\n".join(lines)
