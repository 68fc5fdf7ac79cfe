"""The counts of a session, which can be saved as a page of its runs.

**Input:** a `Report`, and the records of the session's runs. **Output:** one HTML file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError
from dolambda.records.file_format import RunRecord
from dolambda.records.html_report import html_report
from dolambda.scheduler.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_RUNS = 20


@dataclass(frozen=True, repr=False)
class SessionReport(Report):
    """Counts of all runs of a session, as `Report`, and their records."""

    _records: tuple[Path, ...] = field(default=(), compare=False)

    @classmethod
    def from_report(cls, report: Report, records: Sequence[Path]) -> SessionReport:
        """Return the counts with the files of the session's runs."""
        facts = {one.name: getattr(report, one.name) for one in fields(report)}
        return cls(**facts, _records=tuple(records))

    def save(self, file: str | Path) -> Path:
        """Write the session's latest runs, at most 20, as one HTML file.

        Args:
            file: The file. It is replaced if it exists.

        Returns:
            The file.

        Raises:
            ConfigurationError: No run was recorded, or the file cannot be written.
        """
        paths = [path for path in self._records if path.exists()][-_MAX_RUNS:]
        if not paths:
            raise ConfigurationError(
                "this session has no record of a run",
                hint="A run is recorded with its first reply, unless record=False.",
            )
        page = html_report(*(RunRecord.from_file(path) for path in paths))
        try:
            Path(file).write_text(page, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"{str(file)!r} cannot be written: {error.strerror}",
                hint="Name a file in a directory that exists and that you may write to.",
            ) from error
        return Path(file)
