"""The workers' log: what is read out of a line, which lines are about a task, and when --since
begins.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.cli.log_entries import Entry, entries, since
from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def event(message: str, timestamp: int = 0, name: str = "") -> dict[str, Any]:
    return {"message": message, "timestamp": timestamp, "eventId": name or message}


def written(**facts: Any) -> Entry:
    return Entry.from_event(event(json.dumps(facts) + "\n"))


def test_a_workers_line_is_a_sentence_with_run_and_job() -> None:
    entry = written(dolambda="gone: it was cancelled", object="jobs/00/abcdefghij/000002/000000017")
    assert (entry.run, entry.job, entry.tasks) == ("abcdefghij/000002", 17, ())
    assert str(entry).endswith("gone: it was cancelled  (run abcdefghij/000002, job 17)")
    day = datetime.fromtimestamp(0, UTC).astimezone()
    assert str(entry).startswith(f"{day:%Y-%m-%d %H:%M:%S}  gone")


def test_a_named_runs_line_has_its_name() -> None:
    entry = written(
        dolambda="crashed", object="jobs/00/run.nightly/000000/000000003", tasks=[4, 5, 6, 9]
    )
    assert entry.name == "nightly"
    assert str(entry).endswith("crashed  (run nightly, job 3, tasks 4 to 6, 9)")
    assert json.loads(entry.to_json())["run"] == "nightly"
    assert json.loads(entry.to_json())["tasks"] == [4, 5, 6, 9]


@pytest.mark.parametrize(
    "message",
    ["Task timed out after 3.00 seconds", "{not json", "[1, 2]", '{"other": 1}', "", '"text"'],
)
def test_any_other_line_stays_as_it_is(message: str) -> None:
    entry = Entry.from_event(event(message))
    assert (entry.text, entry.run, entry.job) == (message, "", None)


def test_an_error_with_its_hint_is_one_line() -> None:
    entry = written(dolambda="refused: why\n  what to do", object="jobs/00/abc/000001/000000003")
    assert str(entry).endswith("refused: why - what to do  (run abc/000001, job 3)")


@pytest.mark.parametrize("found", [{"object": 5}, {"object": "jobs/x"}, {"job": "a", "tasks": "b"}])
def test_a_worker_of_another_version_may_write_other_things(found: dict[str, Any]) -> None:
    assert written(dolambda="something", **found).text == "something"


def test_lines_are_picked_by_run_and_task() -> None:
    entry = written(dolambda="x", object="jobs/00/abc/000001/000000003", task=4)
    assert entry.is_of(None, None)
    assert entry.is_of("abc/000001", 4)
    assert entry.is_of("abc", None)
    assert not entry.is_of("ab", None)
    assert not entry.is_of(None, 3)
    named = written(dolambda="x", object="jobs/00/run.nightly/000000/000000003")
    assert named.is_of("nightly", None)
    assert not named.is_of("night", None)
    assert not named.is_of("nightly", 0)


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2 h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("2026-11-25T11:00:00+00:00", timedelta(hours=1)),
    ],
)
def test_since_is_a_duration_or_a_date(text: str, back: timedelta) -> None:
    assert since(text, NOW) == NOW - back


@pytest.mark.parametrize(
    "text", ["", "x", "5", "-5m", "99999d", "999999999w", "2026-13-01", "2030-01-01", "0001-01-01"]
)
def test_since_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--since '{text}' is n"):
        since(text, NOW)


class Logs:
    """CloudWatch, which shows the events of one list after the other."""

    def __init__(self, *rounds: list[dict[str, Any]]) -> None:
        self.rounds, self.starts = list(rounds), list[int]()

    def get_paginator(self, _: str) -> Logs:
        return self

    # AWS's names.
    def paginate(self, *, logGroupName: str, startTime: int) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert logGroupName == "group"
        self.starts.append(startTime)
        if not self.rounds:
            raise KeyboardInterrupt
        yield {"events": self.rounds.pop(0)}


def test_following_shows_each_line_once_and_late_ones_too() -> None:
    a, b, late = (
        event(name, at) for name, at in (("a", 100_000), ("b", 200_000), ("late", 150_000))
    )
    logs = Logs([a], [a, b], [b, late])
    found: list[str] = []
    read = entries(logs, "group", datetime.fromtimestamp(0, UTC), follow=0.0)
    with pytest.raises(KeyboardInterrupt):
        found.extend(map(str, read))
    found = [text.split()[-1] for text in found]
    assert found == ["a", "b", "late"]
    assert logs.starts == [0, 40_000, 140_000, 140_000]


def test_without_following_it_ends() -> None:
    logs = Logs([event("a")])
    assert [one.text for one in entries(logs, "group", NOW, follow=None)] == ["a"]
