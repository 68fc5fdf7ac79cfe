"""The dashboard and the report in a real browser."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from dolambda.dashboard.server import Dashboard
from dolambda.records.file_format import Block, ErrorEntry, RunRecord, footer_frame
from dolambda.records.html_report import html_report
from dolambda.records.store import RecordStore
from support.browser import PROGRAM, Browser
from support.records import a_header, append, some_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs(PROGRAM)
EVIL = "</script><img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    chromium.forget()
    return chromium


def open_report(browser: Browser, file: Path, block: Block) -> None:
    header = a_header("evil", memory=1769, host="elsewhere")
    file.write_text(html_report(RunRecord(header, block, None)))
    browser.open(file.as_uri())
    browser.wait_for("!!document.querySelector('figure.live canvas')")


def click(browser: Browser, x: float, y: float) -> None:
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button="none" if kind == "mouseMoved" else "left",
            clickCount=int(kind != "mouseMoved"),
        )


def test_each_failed_task_of_a_hundred_thousand_is_found_by_a_click(
    browser: Browser, tmp_path: Path
) -> None:
    failed = (3, 50_005, 98_765)
    errors = tuple(ErrorEntry(task, "failure", "ValueError", EVIL) for task in failed)
    block = some_tasks(100_000, workers=200, errors=errors)
    open_report(browser, tmp_path / "report.html", block)
    browser.resize(1200, 2000)
    browser.wait_for("document.querySelector('.u-over').clientWidth > 800")
    left, top, width, height = browser.ask(
        "(({left, top, width, height}) => [left, top, width, height])"
        "(document.querySelector('.u-over').getBoundingClientRect())"
    )
    for error in errors:
        job = error.task // 10
        when = (job + 0.1 * (error.task % 10) + 0.05) / 10_000
        place = (job % 200 + 0.5) / 200
        click(browser, left + when * width, top + place * height)
        said = f"Task {error.task} on worker w{job % 200}"
        browser.wait_for(f"document.querySelector('.detail').innerText.startsWith('{said}')")
        assert EVIL in browser.ask("document.querySelector('.detail').innerText")
    assert not browser.messages


def test_the_timeline_is_zoomed_by_dragging(browser: Browser, tmp_path: Path) -> None:
    open_report(browser, tmp_path / "report.html", some_tasks(1000))
    left, top, width = browser.ask(
        "(({left, top, width}) => [left, top, width])"
        "(document.querySelector('.u-over').getBoundingClientRect())"
    )
    before = browser.ask("zoom")
    for kind, share in (("mousePressed", 0.5), ("mouseMoved", 0.6), ("mouseReleased", 0.6)):
        place = {"x": left + share * width, "y": top + 5, "button": "left", "buttons": 1}
        browser.call("Input.dispatchMouseEvent", type=kind, clickCount=1, **place)
    low, high = browser.wait_for("zoom")
    assert before is None
    assert (low, high) == pytest.approx((50.0, 60.0), abs=1.0)


def test_nothing_of_a_program_runs_in_a_report_and_nothing_is_loaded(
    browser: Browser, tmp_path: Path
) -> None:
    errors = (ErrorEntry(3, EVIL, EVIL, EVIL),)
    open_report(browser, tmp_path / "report.html", some_tasks(20, name=EVIL, errors=errors))
    assert browser.ask("document.title") == "Run evil"
    assert browser.ask("document.querySelectorAll('img').length") == 0
    assert browser.ask("performance.getEntriesByType('resource').length") == 0
    with pytest.raises(AssertionError, match="Failed to fetch"):
        browser.ask("fetch('http://127.0.0.1:1/')")


def test_each_run_of_a_page_has_its_timeline(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "runs.html"
    record = RunRecord(a_header("one", host="elsewhere"), some_tasks(20), None)
    file.write_text(html_report(record, record))
    browser.open(file.as_uri())
    browser.wait_for("document.querySelectorAll('figure.live canvas').length === 2")
    assert not browser.messages


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_on_its_ground_and_prints_on_white(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    browser.prefer(scheme)
    open_report(browser, tmp_path / "report.html", some_tasks(20))

    def brightness(what: str) -> float:
        rgb = browser.ask(f"getComputedStyle(document.body).{what}.match(/\\d+/g).map(Number)")
        return float(sum(rgb[:3]) / 3)

    apart = brightness("backgroundColor") - brightness("color")
    assert apart > 150 if scheme == "light" else apart < -150
    browser.prefer(scheme, "print")
    assert brightness("backgroundColor") == 255
    assert browser.ask("getComputedStyle(document.querySelector('.static')).display") == "block"
    assert browser.ask("getComputedStyle(document.querySelector('.chart')).display") == "none"


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_page_is_never_wider_than_the_window(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    errors = tuple(ErrorEntry(task, "failure", "x" * 80, "y" * 400) for task in range(20))
    browser.resize(width, 900)
    open_report(browser, tmp_path / "report.html", some_tasks(1000, errors=errors))
    assert browser.ask("document.documentElement.scrollWidth") <= width


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
    browser.wait_for(
        f"location.pathname == '/runs/one' && /\\b20\\s+tasks that replied/.test({shown})"
    )
    append(store, "one", some_tasks(30, first=20).to_bytes())
    browser.wait_for(f"/\\b50\\s+tasks that replied/.test({shown})")
    append(store, "one", footer_frame({"tasks": 50, "done": 50, "failed": 0}))
    browser.wait_for(f"!/running/.test({shown})")
    assert not browser.messages


def test_a_page_says_that_its_dashboard_has_ended(
    browser: Browser, store: RecordStore, dashboard: Dashboard
) -> None:
    append(store, "one", some_tasks(20).to_bytes())
    browser.open(dashboard.access.link)
    browser.wait_for("!location.search && !!document.querySelector('main')")
    browser.wait_for("typeof watch === 'function'")
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
    browser.wait_for("/\\b30\\s+tasks that replied/.test(document.body.innerText)")
    assert browser.ask("document.title") == "Run evil"
    assert (
        browser.ask("document.querySelectorAll('img, main script:not([type^=application])').length")
        == 0
    )
