"""``dolambda report``: a recorded run as one HTML file."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from dolambda.errors import ConfigurationError
from dolambda.records.file_format import RunRecord
from dolambda.records.html_report import html_report
from dolambda.records.store import LAST, RecordStore, records_directory

RunName = Annotated[
    str,
    typer.Argument(
        help="The run's id, the beginning of it, or 'last' for the latest.", metavar="RUN"
    ),
]


def report(
    run: RunName = LAST,
    to: Annotated[
        Path | None, typer.Option(help="The file. Default: RUN.html.", show_default=False)
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show the file in a browser.")] = False,
) -> None:
    """Write a recorded run as one HTML file: timeline, durations, failures, cost."""
    store = RecordStore(records_directory())
    path = store.find(run)
    file = to or Path(f"{store.id_of(path)}.html")
    text = html_report(RunRecord.from_file(path))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"--to {str(file)!r} cannot be written: {error.strerror}",
            hint="Use a file in an existing directory that you can write to.",
        ) from error
    print(f"wrote {file}")
    if open_it:
        webbrowser.open(file.resolve().as_uri())
