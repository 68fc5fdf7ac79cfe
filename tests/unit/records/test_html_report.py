"""A record as a page: complete, small, and nothing of a program in it is executed."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from array import array
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from dolambda.records.file_format import ErrorEntry, RunRecord
from dolambda.records.html_report import html_report, report_body
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
    for said in ("Run abc", "of 1,769 MB paid for", "1 builtins.ValueError", "no such place"):
        assert said in page.text
    assert "its program was killed" in page.text
    assert page.tags >= {"svg", "rect", "table"}


def test_the_page_has_advice() -> None:
    record = record_of(40)
    record.tasks.cpu[:] = array("f", [0.001] * 40)
    page = Elements(html_report(record))
    assert "tasks used at most 300 MB of 1,769: memory=" in page.text
    record.tasks.cpu[:] = record.tasks.seconds
    assert "Nothing to change" in Elements(html_report(record)).text
    assert "Advice" not in Elements(html_report(record_of(0))).text


def test_the_page_says_what_was_throttled() -> None:
    record = record_of(40)
    assert "throttled" not in Elements(html_report(record)).text.lower()  # it was not counted
    reason = f"ConcurrentInvocationLimitExceeded{EVIL}"
    counts = {"throttled": {f"lambda:InvokeFunction {reason}": 1_200, "s3:PutObject": 3}}
    page = Elements(html_report(replace(record, counts=counts)))
    for said in ("1,203requests throttled by AWS", reason, "s3:PutObject"):
        assert said in page.text
    assert "img" not in page.tags
    live = Elements(html_report(replace(record, counts={"throttled": {}})))
    assert "0requests throttled" in live.text


def test_text_of_a_program_is_never_markup() -> None:
    errors = (ErrorEntry(3, EVIL, EVIL, EVIL),)
    body = report_body(record_of(40, name=EVIL, errors=errors), "running")
    elements = Elements(body)
    assert not elements.tags & {"img", "iframe", "object", "link", "style"}
    assert not [name for name in elements.attributes if name.startswith("on")]
    assert EVIL in elements.text
    assert body.count("<script") == body.count('<script type="application/') == 2
    assert body.count("</script") == 2


def test_a_policy_allows_the_pages_own_scripts_alone() -> None:
    page = html_report(record_of(40))
    assert "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" in page
    assert "unsafe-inline'; script" in page
    assert "script-src 'unsafe-inline'" not in page


def test_a_hundred_thousand_tasks_are_a_small_page() -> None:
    page = html_report(record_of(100_000, workers=200))
    assert len(page) < 5_000_000
    assert "100 more workers not drawn" in page  # when it is printed


def columns_of(page: str) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Read the columns as the script does."""
    found = re.search(r'class="columns">([^<]*)<.*class="facts">([^<]*)<', page, re.DOTALL)
    assert found
    facts = json.loads(found[2])
    data, size = zlib.decompress(base64.b64decode(found[1])), facts["size"]
    formats = {"begin": "f", "seconds": "f", "task": "I", "worker": "H", "error": "H"}
    columns, at = {}, 0
    for name, form in formats.items():
        length = size * struct.calcsize(form)
        columns[name] = list(struct.unpack(f"<{size}{form}", data[at : at + length]))
        at += length
    assert at == len(data)
    return facts, columns


def test_the_columns_have_every_task_and_the_error_of_each_that_failed() -> None:
    errors = tuple(
        ErrorEntry(task, "failure", f"E{task % 3}", "&<why>") for task in range(0, 1000, 7)
    )
    facts, columns = columns_of(html_report(record_of(1000, workers=9, errors=errors)))
    assert sorted(columns["task"]) == list(range(1000))
    places = list(zip(columns["worker"], columns["begin"], strict=True))
    assert places == sorted(places)
    for task, error in zip(columns["task"], columns["error"], strict=True):
        wanted = f"E{int(task) % 3}: &<why>" if task % 7 == 0 else None
        assert (facts["errors"][int(error) - 1] if error else None) == wanted


def test_a_run_without_tasks_has_a_page() -> None:
    page = html_report(record_of(0))
    assert "tasks that replied" in page
    assert "No task has replied yet" in page
