"""The dashboard's HTTP server, which ends when there are no more requests.

**Input:** GET requests to 127.0.0.1. **Output:** pages, and JSON that updates them.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from dolambda.dashboard.access import Access
from dolambda.dashboard.pages import Pages, full_page, update_of
from dolambda.dashboard.watched import WatchedRuns
from dolambda.records.html_report import asset

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.dashboard.pages import Content
    from dolambda.records.store import RecordStore

_REQUEST_S = 10.0
_CHECK_S = 0.2
_HTML, _JSON, _SCRIPT = "text/html", "application/json", "text/javascript"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SCRIPTS: dict[str, Callable[[], str]] = {
    "uplot.js": lambda: asset("uplot/uPlot.iife.min.js"),
    "timeline.js": lambda: asset("timeline.js"),
    "live.js": lambda: files(__package__).joinpath("live.js").read_text("utf-8"),
}
# A redirect would come without the new cookie: the browser followed it for another site's page.
_ENTERED = (
    '<!doctype html><meta http-equiv="refresh" content="0; url=/">'
    '<title>dolambda</title><a href="/">Show the runs</a>'
)
_USED_UP = "This link works once, in one browser. Start `dolambda dashboard` again for another."


class Dashboard(ThreadingHTTPServer):
    """A server of one directory of records, on 127.0.0.1."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, store: RecordStore, port: int = 0) -> None:
        """Listen. ``port`` 0 means any free one. Raises OSError."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.access = Access(self.server_port)
        self.pages = Pages(WatchedRuns(store))
        self.last_use = time.monotonic()

    def serve_until_idle(self, idle_s: float) -> None:
        """Serve until ``idle_s`` seconds have passed without a request or a running watched run."""
        try:
            while (left := idle_s - (time.monotonic() - self.last_use)) > 0:
                self.timeout = min(_CHECK_S, left)
                self.handle_request()  # in a thread of its own
        finally:
            self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Write nothing: closed connections are normal, and a request may contain the token."""


class _Handler(BaseHTTPRequestHandler):
    """One request. With HTTP/1.0 each has a connection of its own."""

    server: Dashboard
    server_version = "dolambda"
    sys_version = ""
    timeout = _REQUEST_S  # of each read and write

    def do_GET(self) -> None:
        """Reply to a request, or refuse it."""
        if refusal := self.server.access.refusal(self.headers):
            self._refuse(HTTPStatus.FORBIDDEN, refusal)
            return
        address = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        if "token" in query and address.path == "/":
            self._enter(query["token"])
        elif self.server.access.knows(self.headers):
            self._route(address.path, query.get("seen"))
        else:
            self._refuse(HTTPStatus.FORBIDDEN, "Open the link that `dolambda dashboard` printed.")

    def _enter(self, token: str) -> None:
        cookie = self.server.access.exchange(token)
        if cookie is None:
            self._refuse(HTTPStatus.FORBIDDEN, _USED_UP)
            return
        self.server.last_use = time.monotonic()
        self._answer(HTTPStatus.OK, _HTML, _ENTERED, {"Set-Cookie": cookie})

    def _route(self, path: str, seen: str | None) -> None:
        pages, parts = self.server.pages, path.split("/")[1:]
        if parts[0] in _SCRIPTS and len(parts) == 1:
            self._answer(HTTPStatus.OK, _SCRIPT, _SCRIPTS[parts[0]]())
        elif parts in ([""], ["update"]):
            self._show("Runs on this machine", pages.all_runs(), "/update", parts[0], seen)
        elif parts[0] == "runs" and parts[2:] in ([], ["update"]) and len(parts) > 1:
            name = unquote(parts[1])
            content = pages.one_run(name)
            if content is None:
                self._refuse(HTTPStatus.NOT_FOUND, "There is no record of this run.")
            else:
                self._show(f"Run {name}", content, f"/runs/{parts[1]}/update", parts[-1], seen)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _show(
        self, title: str, content: Content, updates: str, wanted: str, seen: str | None
    ) -> None:
        is_update = wanted == "update"
        if content.in_use or not is_update:  # a forgotten page must not keep the dashboard running
            self.server.last_use = time.monotonic()
        if is_update:
            self._answer(HTTPStatus.OK, _JSON, update_of(content, seen or ""))
        else:
            self._answer(HTTPStatus.OK, _HTML, full_page(title, content, updates))

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._answer(status, "text/plain", why + "\n")

    def _answer(
        self, status: HTTPStatus, kind: str, text: str, headers: dict[str, str] | None = None
    ) -> None:
        data = text.encode()
        self.send_response(status)
        for name, value in {**_HEADERS, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse requests other than GET, and other protocols."""
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:
            status, message = HTTPStatus.METHOD_NOT_ALLOWED, "The dashboard accepts GET only."
        self._refuse(status, message or explain or status.phrase)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Write nothing: addresses contain the token."""
