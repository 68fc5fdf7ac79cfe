"""Which session is the current one, and what a closed one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import joblib
import pytest

from dolambda import LambdaExecutor, register, unregister
from dolambda.current_session import CurrentSession, peek
from dolambda.errors import ConfigurationError
from dolambda.interpreter_end import InterpreterEnd
from dolambda.session import Session
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _unregistered() -> Iterator[None]:
    unregister()
    yield
    unregister()


def opened() -> Session:
    return Session.open(Settings(transport="in_process", workers=2, progress=False))


def test_a_session_that_was_closed_is_not_current_any_more() -> None:
    with register("local", transport="in_process", workers=2) as session:
        assert peek() is session
    assert peek() is None
    assert session.is_closed


@pytest.mark.parametrize("close", [Session.close, lambda one: one.__exit__(None, None, None)])
def test_a_new_session_is_opened_in_the_place_of_a_closed_one(close: object) -> None:
    holder = CurrentSession()
    first = holder.get_or_open(opened)
    close(first)  # type: ignore[operator] # both take a session
    second = holder.get_or_open(opened)
    assert second is not first
    assert not second.is_closed
    assert holder.get_or_open(opened) is second
    holder.replace(None)
    assert second.is_closed


def test_a_session_that_replaces_itself_stays_open() -> None:
    holder = CurrentSession()
    session = opened()
    holder.replace(session)
    holder.replace(session)
    assert holder.get() is session
    assert not session.is_closed
    holder.replace(None)


def test_a_closed_session_opens_no_run_and_keeps_its_counts() -> None:
    session = opened()
    with LambdaExecutor(session=session) as executor:
        assert list(executor.map(abs, [-1, -2])) == [1, 2]
    session.close()
    session.close()
    with pytest.raises(ConfigurationError, match="this session is closed"):
        LambdaExecutor(session=session)
    assert session.report().done == 2


def test_joblib_goes_on_after_the_block_of_a_session() -> None:
    with register("local", transport="in_process", workers=2):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(-i) for i in range(3)) == [0, 1, 2]
    register("local", transport="in_process", workers=2)
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(-i) for i in range(3)) == [0, 1, 2]


class Recorded:
    """Something that can be closed, and records what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def finish(self) -> None:
        self.asked.append("finish")

    def abandon(self) -> None:
        self.asked.append("abandon")

    def close(self) -> None:
        self.asked.append("close")


@pytest.mark.parametrize(("failed", "first"), [(False, "finish"), (True, "abandon")])
def test_what_is_open_at_the_end_is_finished_then_closed(*, failed: bool, first: str) -> None:
    end, still_open, closed_before = InterpreterEnd(), Recorded(), Recorded()
    end.add(still_open)
    end.add(closed_before)
    end.discard(closed_before)
    end.begin(failed=failed)
    assert end.has_begun
    end.complete()
    assert still_open.asked == [first, "close"]
    assert closed_before.asked == []
