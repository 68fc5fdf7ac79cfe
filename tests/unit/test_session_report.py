from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dolambda import LambdaExecutor, Report
from dolambda.errors import ConfigurationError
from dolambda.session import Session
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Session]]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    sessions: list[Session] = []

    def open_session(**settings: bool) -> Session:
        given = Settings(transport="in_process", workers=2, progress=False, **settings)  # type: ignore[arg-type]
        sessions.append(Session.open(given))
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.close()


def run(session: Session, tasks: int) -> None:
    with LambdaExecutor(session=session) as executor:
        assert len(list(executor.map(abs, range(tasks)))) == tasks


def test_the_runs_of_a_session_are_saved_as_one_page(
    opened: Callable[..., Session], tmp_path: Path
) -> None:
    session = opened()
    run(session, 30)
    run(session, 40)
    file = session.report().save(tmp_path / "run.html")
    page = file.read_text()
    assert page.count("<h1>Run ") == 2
    assert page.index("<b>30</b>") < page.index("<b>40</b>")
    assert session.report().save(str(file)) == file


def test_it_is_a_report_as_any_other(opened: Callable[..., Session]) -> None:
    session = opened()
    run(session, 30)
    report = session.report()
    assert isinstance(report, Report)
    assert report.done == 30
    assert repr(report).startswith("<Report: ")
    assert (report + report).done == 60


@pytest.mark.parametrize(("record", "tasks"), [(True, 0), (False, 30)])
def test_without_a_record_there_is_nothing_to_save(
    opened: Callable[..., Session], tmp_path: Path, *, record: bool, tasks: int
) -> None:
    session = opened(record=record)
    run(session, tasks)
    with pytest.raises(ConfigurationError, match="this session has no record of a run"):
        session.report().save(tmp_path / "run.html")


def test_a_file_that_cannot_be_written_is_named(
    opened: Callable[..., Session], tmp_path: Path
) -> None:
    session = opened()
    run(session, 30)
    with pytest.raises(ConfigurationError, match=r"nowhere/run\.html' cannot be written: No such"):
        session.report().save(tmp_path / "nowhere" / "run.html")
