"""``dolambda dashboard``: recorded runs in a browser, while they run."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import tempfile
import webbrowser
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dolambda.cli.signals import TERMINATION, ended_by
from dolambda.dashboard.server import Dashboard
from dolambda.errors import ConfigurationError
from dolambda.records.store import RecordStore, records_directory
from dolambda.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENTRANCE = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={}">'


def dashboard(
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65_535, help="Port on 127.0.0.1. Default: any free one.", show_default=False
        ),
    ] = 0,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    idle: Annotated[
        float, typer.Option(min=0.01, help="Minutes without a request after which it ends.")
    ] = 15,
) -> None:
    """Show recorded runs in a browser, while they run."""
    store = RecordStore(records_directory())
    try:
        server = Dashboard(store, port)
    except OSError as error:
        raise ConfigurationError(
            f"--port {port} cannot be used: {error.strerror}",
            hint="Use another port, or leave --port out for any free one.",
        ) from error
    with (
        contextlib.suppress(KeyboardInterrupt),
        ended_by(TERMINATION | {signal.SIGINT}),
        _entrance(server.access.link) as file,
    ):
        _say_where(server, file, open_it=open_it)
        server.serve_until_idle(60 * idle)
        print(f"no page was requested for {duration(60 * idle)}: the dashboard has ended")


def _say_where(server: Dashboard, file: Path, *, open_it: bool) -> None:
    """Print the link on a terminal, otherwise the file with the link: the output may be a log."""
    where = f"http://127.0.0.1:{server.server_port}"
    if open_it and webbrowser.open(file.as_uri()):
        print(f"dashboard on {where}, opened in your browser; Ctrl-C ends it", flush=True)
    elif sys.stdout.isatty():
        print(f"dashboard: {server.access.link}", flush=True)
        print("The link works once, in one browser. Ctrl-C ends the dashboard.", flush=True)
    else:
        print(f"dashboard on {where}; open {file.as_uri()}, which works once", flush=True)


@contextlib.contextmanager
def _entrance(link: str) -> Iterator[Path]:
    """Make a file that only its owner can read, and that leads a browser to the link.

    All users can read the arguments of processes, including a browser's.
    """
    place = Path(tempfile.gettempdir(), f"dolambda-dashboard-{secrets.token_hex(8)}.html")
    try:
        with open(place, "x", encoding="utf-8", opener=_private) as file:
            file.write(_ENTRANCE.format(escape(link)))
        yield place
    finally:
        place.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
