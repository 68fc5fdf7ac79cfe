from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dolambda.errors import AwsError
from dolambda.scheduler.live_output import LiveOutput
from dolambda.wire.kept_output import LIMIT, with_note
from dolambda.wire.output_part import OutputPart

if TYPE_CHECKING:
    from collections.abc import Sequence

PART = OutputPart("client/000003", 12, 1, "abc123", 0, 0, 40, 0, b"")


class Source:
    """Parts that a test puts there, or an error instead."""

    def __init__(self) -> None:
        self.parts: list[OutputPart] = []
        self.error: AwsError | None = None
        self.looked = threading.Event()

    def take(self) -> Sequence[OutputPart]:
        self.looked.set()
        if self.error:
            raise self.error
        found, self.parts = self.parts, []
        return found


class Shown:
    """A relay that keeps what it gets, and a run's live output that relays to it."""

    def __init__(self) -> None:
        self.texts: list[tuple[int, str]] = []
        self.changed = threading.Event()
        self.source = Source()
        self.now = 0.0
        self.live = LiveOutput(self.source, self._relay, clock=lambda: self.now)
        self.live.job_sent(PART.job)

    def _relay(self, task: int, text: str, failed: bool) -> None:
        assert not failed
        self.texts.append((task, text))
        self.changed.set()

    def show(self, *parts: OutputPart) -> list[str]:
        """Show parts; return the texts that they add."""
        before = len(self.texts)
        for part in parts:
            self.live.show(part)
        return [text for _, text in self.texts[before:]]


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def soon_shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """One that polls at once, and often."""
    for name in ("_FIRST_S", "_FIRST_LOOK_S", "MIN_INTERVAL_S"):
        monkeypatch.setattr(f"dolambda.scheduler.live_output.{name}", 0.05)
    return Shown()


def parts(*data: bytes, **more: object) -> list[OutputPart]:
    """Consecutive parts of one task."""
    made: list[OutputPart] = []
    at = 0
    for number, one in enumerate(data):
        # Of several types.
        made.append(replace(PART, number=number, start=at, data=one, **more))  # type: ignore[arg-type]
        at += len(one)
    return made


def test_lines_are_shown_once_whatever_the_reply_repeats(shown: Shown) -> None:
    assert shown.show(*parts(b"one\n", b"two\n")) == ["one\n", "two\n"]
    assert shown.live.rest(12, 40, "one\ntwo\nthree\n") == "three\n"
    assert shown.show(*parts(b"one\n", b"two\n", b"three\n")) == []


def test_a_part_that_is_lost_or_late_is_only_seen_later(shown: Shown) -> None:
    one, two, three = parts(b"one\n", b"two\n", b"three\n")
    assert shown.show(one, three, two) == ["one\n", "two\n"]
    assert shown.live.rest(12, 40, "one\ntwo\nthree\n") == "three\n"
    assert shown.live.rest(12, 41, "of another task\n") == "of another task\n"


def test_a_part_that_was_written_though_its_sender_did_not_learn_it_adds_nothing(
    shown: Shown,
) -> None:
    again = replace(PART, number=1, start=0, data=b"one\ntwo\n")
    assert shown.show(replace(PART, data=b"one\n"), again) == ["one\n", "two\n"]


def test_characters_and_lines_may_be_cut_anywhere(shown: Shown) -> None:
    text = "é…\r\nunfinished"
    data = text.encode()
    texts = shown.show(*parts(*(data[at : at + 1] for at in range(len(data)))))
    assert texts == ["é", "…", *"unfinished"]  # a relay makes lines of them: none is empty
    assert shown.live.rest(12, 40, text + "\nmore\n") == "more\n"


def test_a_later_attempt_is_followed_and_named(shown: Shown) -> None:
    shown.show(*parts(b"one\n", b"two\n"))
    again = parts(b"one\n", b"three\n", attempt=2, worker="def456")
    assert shown.show(*again) == ["(attempt 2)\n", "one\n", "three\n"]
    assert shown.show(*parts(b"one\n", b"two\n", b"late\n")) == []
    assert shown.live.rest(12, 40, "one\nthree\nend\n") == "end\n"


def test_a_task_that_is_run_again_by_its_worker_is_named(shown: Shown) -> None:
    shown.show(*parts(b"one\n"))
    assert shown.show(*parts(b"one\n", turn=1)) == ["(run again)\n", "one\n"]


def test_of_two_workers_at_one_attempt_the_first_is_followed(shown: Shown) -> None:
    shown.show(*parts(b"mine\n"))
    assert shown.show(*parts(b"other\n", worker="def456")) == []


def test_the_output_of_another_attempt_is_shown_whole(shown: Shown) -> None:
    shown.show(*parts(b"at 12:01\n"))
    assert shown.live.rest(12, 40, "at 12:02\n") == "(output of another attempt)\nat 12:02\n"


def test_more_than_a_reply_keeps_is_shown_live_and_counted_right(shown: Shown) -> None:
    line = b"x" * 999 + b"\n"
    total = 100 * len(line)
    whole = with_note((line * 100)[:LIMIT].decode(), total - LIMIT)
    shown.show(*parts(*[line] * 90))
    rest = shown.live.rest(12, 40, whole)
    assert rest.strip() == "... 10,000 bytes more were printed and are not shown"


def test_all_of_a_long_output_may_have_been_seen(shown: Shown) -> None:
    line = b"x" * 999 + b"\n"
    whole = with_note((line * 100)[:LIMIT].decode(), 100 * len(line) - LIMIT)
    shown.show(*parts(*[line] * 100))
    assert shown.live.rest(12, 40, whole) == ""


def test_nothing_of_a_job_is_shown_after_its_reply(shown: Shown) -> None:
    shown.live.job_sent(13)
    shown.now = 5.0
    assert shown.live.rest(12, 40, "") == ""
    shown.live.job_replied(12)
    assert shown.show(*parts(b"late\n")) == []
    assert shown.show(*parts(b"of a lost job\n", job=13)) == ["of a lost job\n"]


def test_jobs_of_an_earlier_client_of_a_named_run_are_not_shown(shown: Shown) -> None:
    assert shown.show(*parts(b"another's\n", job=11)) == []


def test_what_is_there_at_the_end_is_shown_of_a_cancelled_run_too(shown: Shown) -> None:
    shown.source.parts = parts(b"last words\n")
    shown.now = 3.0
    shown.live.close()
    assert shown.texts == [(40, "last words\n")]


def test_nothing_is_looked_for_where_no_part_can_be(shown: Shown) -> None:
    shown.now = 1.0
    shown.live.close()
    assert not shown.source.looked.is_set()


def test_nothing_is_looked_for_while_no_job_is_in_flight(soon_shown: Shown) -> None:
    asked = threading.Semaphore(0)

    def is_busy() -> bool:
        asked.release()
        return False

    soon_shown.live.is_busy = is_busy
    assert asked.acquire(timeout=30)
    assert asked.acquire(timeout=30)  # the first time nothing was looked for
    assert not soon_shown.source.looked.is_set()
    soon_shown.live.close()


def test_nothing_is_looked_for_where_everything_has_gone(shown: Shown) -> None:
    shown.now = 3.0
    shown.live.close(gone=True)
    assert not shown.source.looked.is_set()


def test_parts_are_shown_as_they_come_also_after_a_failed_look(soon_shown: Shown) -> None:
    soon_shown.source.error = AwsError("no network", hint="")
    assert soon_shown.source.looked.wait(30)
    soon_shown.source.error = None
    soon_shown.source.parts = parts(b"one\n")
    assert soon_shown.changed.wait(30)
    assert soon_shown.texts == [(40, "one\n")]
    soon_shown.live.close()
