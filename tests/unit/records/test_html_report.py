"""A record as a page: complete, small, and nothing in it is executed."""

from __future__ import annotations

from array import array
from html.parser import HTMLParser

import pytest

from dolambda.records.file_format import ErrorEntry, RunRecord
from dolambda.records.html_report import html_report
from dolambda.records.timeline import busy_shares, runs_of_levels, task_times
from support.records import a_header, some_tasks

EVIL = "</script><img src=x onerror=alert(1)><svg onload=alert(2)>"


class Elements(HTMLParser):
    """The tags of a page, and what is written in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def record_of(
    tasks: int, workers: int = 2, *, name: str = "w", errors: tuple[ErrorEntry, ...] = ()
) -> RunRecord:
    header = a_header("abc", host=name, program=name)
    return RunRecord(header, some_tasks(tasks, workers=workers, name=name, errors=errors), None)


def test_the_times_of_tasks_are_those_of_their_jobs() -> None:
    times = task_times(record_of(40).tasks)
    assert [one.task for one in times] == list(range(40))
    assert times[0].begin == 0.0
    assert times[25].begin == pytest.approx(2.5)
    assert [one.worker for one in times[::10]] == ["w0", "w1", "w0", "w1"]


def test_a_worker_is_as_busy_as_its_tasks() -> None:
    shares = busy_shares(task_times(record_of(40).tasks), 4.0, 4)
    assert shares["w0"] == pytest.approx([1.0, 0.0, 1.0, 0.0], abs=1e-5)
    assert runs_of_levels([0.0, 1.0, 1.0, 0.3, 0.0, 0.3], 4) == [(1, 2, 4), (3, 1, 2), (5, 1, 2)]


def test_the_page_says_what_happened() -> None:
    errors = (ErrorEntry(3, "failure", "builtins.ValueError", "no such place"),)
    page = Elements(html_report(record_of(40, errors=errors)))
    for said in ("Run abc", "300 MB of 1,769 MB", "ValueError", "no such place", "50% of one core"):
        assert said in page.text
    assert "has not ended" in page.text
    assert page.tags >= {"svg", "rect", "table"}


def test_the_page_has_advice() -> None:
    record = record_of(40)
    record.tasks.cpu[:] = array("f", [0.001] * 40)
    page = Elements(html_report(record))
    assert "tasks used at most 300 MB of 1,769: memory=" in page.text
    assert "nothing to change" in Elements(html_report(record_of(40))).text
    assert "Advice" not in Elements(html_report(record_of(0))).text


def test_text_of_a_program_is_never_markup() -> None:
    errors = (ErrorEntry(3, EVIL, EVIL, EVIL),)
    page = html_report(record_of(40, name=EVIL, errors=errors))
    elements = Elements(page)
    assert not elements.tags & {"script", "img", "iframe", "object", "link", "a"}
    assert not [name for name in elements.attributes if name.startswith("on")]
    assert EVIL in elements.text
    assert "default-src 'none'" in page


def test_a_hundred_thousand_tasks_are_a_small_page() -> None:
    page = html_report(record_of(100_000, workers=200))
    assert len(page) < 5_000_000
    assert "100 more workers not drawn" in page


def test_a_run_without_tasks_has_a_page() -> None:
    assert "tasks that replied" in html_report(record_of(0))
