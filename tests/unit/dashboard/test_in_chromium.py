"""The dashboard and the report in a real browser."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from dolambda.dashboard.server import Dashboard
from dolambda.records.file_format import ErrorEntry, footer_frame
from dolambda.records.store import RecordStore
from support.browser import PROGRAM, Browser
from support.records import append, some_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs(PROGRAM)
EVIL = "</script><img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "runs")


@pytest.fixture
def dashboard(store: RecordStore) -> Iterator[Dashboard]:
    server = Dashboard(store)
    thread = threading.Thread(target=server.serve_until_idle, args=(600.0,))
    thread.start()
    yield server
    server.last_use = -1e9
    thread.join(30)


def test_the_page_of_a_running_run_grows(
    browser: Browser, store: RecordStore, dashboard: Dashboard, tmp_path: Path
) -> None:
    append(store, "one", some_tasks(20).to_bytes())
    entrance = tmp_path / "entrance.html"  # as `dolambda dashboard --open` leads there
    entrance.write_text(f'<meta http-equiv="refresh" content="0; url={dashboard.access.link}">')
    browser.open(entrance.as_uri())
    browser.wait_for(
        "location.pathname == '/' && !location.search && !!document.querySelector('main')"
    )
    assert browser.ask("document.cookie") == ""
    browser.wait_for("document.querySelector('a[href=\"/runs/one\"]')?.click() ?? true")
    shown = "document.querySelector('main')?.innerText ?? ''"
    browser.wait_for(f"location.pathname == '/runs/one' && /replied\\s+20/.test({shown})")
    append(store, "one", some_tasks(30, first=20).to_bytes())
    browser.wait_for(f"/replied\\s+50/.test({shown})")
    append(store, "one", footer_frame({"tasks": 50, "done": 50, "failed": 0}))
    browser.wait_for(f"!/running/.test({shown})")
    assert not browser.messages


def test_a_page_says_that_its_dashboard_has_ended(
    browser: Browser, store: RecordStore, dashboard: Dashboard
) -> None:
    append(store, "one", some_tasks(20).to_bytes())
    browser.open(dashboard.access.link)
    browser.wait_for("!location.search && !!document.querySelector('main')")
    dashboard.last_use = -1e9
    browser.wait_for("!document.querySelector('#notice').hidden")


def test_nothing_of_a_program_runs_in_the_dashboard(
    browser: Browser, store: RecordStore, dashboard: Dashboard
) -> None:
    errors = (ErrorEntry(3, "failure", EVIL, EVIL),)
    append(store, "evil", some_tasks(20, name=EVIL, errors=errors).to_bytes())
    browser.open(dashboard.access.link)
    browser.wait_for("!location.search && !!document.querySelector('main')")
    browser.open(f"http://127.0.0.1:{dashboard.server_port}/runs/evil")
    browser.wait_for("document.body?.innerText.includes('onerror')")
    append(store, "evil", some_tasks(10, first=20, name=EVIL).to_bytes())
    browser.wait_for("/replied\\s+30/.test(document.body.innerText)")
    assert browser.ask("document.title") == "Run evil"
    assert browser.ask("document.querySelectorAll('img, main script').length") == 0
