"""Exceptions and results whose classes misbehave: packed on the worker, opened on the client, and
nothing raised at either end.
"""

# ruff: noqa: N818 - not errors of a library, but samples of what users write
from __future__ import annotations

import asyncio
import copyreg
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest

from dolambda.errors import NotPicklableError, RemoteError, RemoteTraceback, TaskExitedError
from dolambda.wire.outcome import Failure, PackedOutcome, Value
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = b"k" * 32


def opened(packed: PackedOutcome) -> Value | Failure:
    """As the client finds it."""
    sealed = Reply("r", 0, 1, OutcomeTable.from_outcomes([packed])).to_bytes(KEY)
    found = Reply.from_bytes(sealed, KEY).outcomes[0].open()
    assert isinstance(found, (Value, Failure))
    return found


def failed(error: BaseException) -> BaseException:
    """The exception that a user sees for one that a task raised."""
    try:
        raise error  # noqa: TRY301 - so that it has a traceback
    except BaseException as caught:  # noqa: BLE001 - whatever it is
        found = opened(PackedOutcome.from_exception(4, caught, 0.0))
    assert isinstance(found, Failure)
    assert issubclass(type(found.exception), BaseException)
    return found.exception


def misbehave() -> Any:
    raise SystemExit("misbehaved")


class StrRaises(Exception):
    def __str__(self) -> str:
        return f"code {self.code}"  # type: ignore[attr-defined]


class StrExits(Exception):
    def __str__(self) -> str:
        return str(misbehave())


class ReprRaises(Exception):
    def __repr__(self) -> str:
        return str(misbehave())


class StrIsNone(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]  # noqa: PLE0307 - it is what some do


class ReducesToText(Exception):
    def __reduce__(self) -> Any:
        return str, ("no exception at all",)


class ReducesToTuple(Exception):
    def __reduce__(self) -> Any:
        return tuple, ((1, 2, 3),)


class ReducesToExit(Exception):
    def __reduce__(self) -> Any:
        return SystemExit, (3,)


class ReduceExits(Exception):
    def __reduce__(self) -> Any:
        return misbehave()


class LoadExits(Exception):
    def __reduce__(self) -> Any:
        return misbehave, ()


class LoadExitsElsewhere(Exception):
    """Loads where it was raised, and nowhere else."""

    def __reduce__(self) -> Any:
        return load_unless_moved, ()


def load_unless_moved() -> Any:
    return misbehave() if moved else LoadExitsElsewhere("here")


moved: list[bool] = []


class CauseRaises(Exception):
    @property
    def __cause__(self) -> Any:
        return misbehave()

    @__cause__.setter
    def __cause__(self, _cause: object) -> None:
        misbehave()


class ContextRaises(Exception):
    @property
    def __context__(self) -> Any:  # type: ignore[override]
        return misbehave()


class NotesRaise(Exception):
    @property
    def __notes__(self) -> Any:  # type: ignore[override]
        return misbehave()


class TracebackRaises(Exception):
    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        return misbehave()

    def with_traceback(self, _trace: object) -> Any:
        return misbehave()


class ArgsRaise(Exception):
    @property
    def args(self) -> Any:
        return misbehave()

    @args.setter
    def args(self, _args: object) -> None:
        misbehave()


class AttributesRaise(Exception):
    def __getattribute__(self, _name: str) -> Any:
        return misbehave()


class Meta(type):
    @property
    def __module__(cls) -> Any:  # type: ignore[override]
        return misbehave()

    def __repr__(cls) -> str:
        return str(misbehave())


class ClassRaises(Exception, metaclass=Meta):
    pass


def with_notes(notes: object) -> Exception:
    error = ValueError("noted")
    error.__notes__ = notes  # type: ignore[assignment]
    return error


def with_itself_as_cause() -> Exception:
    error = ValueError("loop")
    error.__cause__ = error
    return error


MISBEHAVING: dict[str, Callable[[], BaseException]] = {
    kind.__name__: lambda kind=kind: kind("text")
    for kind in (
        StrRaises,
        StrExits,
        ReprRaises,
        StrIsNone,
        ReducesToText,
        ReducesToTuple,
        ReducesToExit,
        ReduceExits,
        LoadExits,
        CauseRaises,
        ContextRaises,
        NotesRaise,
        TracebackRaises,
        ArgsRaise,
        AttributesRaise,
        ClassRaises,
    )
} | {
    "notes that are a number": lambda: with_notes(3),
    "notes that cannot be shown": lambda: with_notes([StrExits()]),
    "notes that cannot be pickled": lambda: with_notes([lambda: 1, (n for n in "a")]),
    "an argument that cannot be pickled": lambda: ValueError(n for n in "a"),
    "an argument that cannot be shown": lambda: ValueError(ReprRaises()),
    "a chain that is a loop": with_itself_as_cause,
    "surrogates": lambda: ValueError("\ud800"),
    "a group": lambda: ExceptionGroup("all", [StrExits(), CauseRaises()]),
}


@pytest.mark.parametrize("make", MISBEHAVING.values(), ids=MISBEHAVING)
def test_whatever_an_exception_does_it_comes_back_as_one(make: Callable[[], BaseException]) -> None:
    error = failed(make())
    assert not issubclass(type(error), (SystemExit, KeyboardInterrupt, GeneratorExit))
    assert isinstance(repr(error), str)
    cause = BaseException.__dict__["__cause__"].__get__(error)
    assert isinstance(cause, RemoteTraceback)
    assert "in failed" in str(cause)


@pytest.mark.parametrize("kind", [StrRaises, StrExits, StrIsNone, ReducesToText, ReducesToExit])
def test_what_cannot_come_back_as_itself_names_its_type(kind: type[Exception]) -> None:
    error = failed(kind("text"))
    assert isinstance(error, RemoteError)
    assert kind.__name__ in str(error)


def test_one_that_loads_on_the_worker_only_is_a_remote_error() -> None:
    packed = PackedOutcome.from_exception(4, LoadExitsElsewhere("here"), 0.0)
    moved.append(True)
    try:
        found = opened(packed)
    finally:
        moved.clear()
    assert isinstance(found, Failure)
    assert isinstance(found.exception, RemoteError)


class MakesItsText(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")


class KeepsMore(Exception):
    def __init__(self, code: int, why: str) -> None:
        super().__init__(code)
        self.why = why

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.why}"


class HasSlots(Exception):
    __slots__ = ("why",)

    def __init__(self, code: int = 0) -> None:
        super().__init__(code)
        self.why = "not yet said"

    def __str__(self) -> str:
        return self.why


def test_an_exception_that_makes_its_text_says_the_same_after_the_round_trip() -> None:
    error = failed(MakesItsText(5))
    assert (type(error), str(error), error.args) == (MakesItsText, "code 5", ("code 5",))


class Refused(KeepsMore):
    """One whose class is local to a test's module, with a note and a cause."""


@pytest.mark.parametrize("kind", [KeepsMore, Refused])
def test_an_exception_whose_class_takes_more_than_its_base_comes_back_as_itself(
    kind: type[KeepsMore],
) -> None:
    error = kind(2, "more")
    error.add_note("a note")
    found = failed(error)
    assert type(found) is kind
    assert (str(found), found.args, found.why) == ("2: more", (2,), "more")
    assert found.__notes__ == ["a note"]


class NeedsFile(OSError):
    def __init__(self, path: str, *, tried: int) -> None:
        super().__init__(2, "no such file", path)
        self.tried = tried


class WantsMore(Exception):
    def __new__(cls, code: int, why: str) -> Self:
        return super().__new__(cls, code, why)

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code)
        self.why = why


def test_neighbours_of_such_a_class_come_back_or_are_remote_errors() -> None:
    found = failed(NeedsFile("a.csv", tried=3))
    assert isinstance(found, NeedsFile)
    assert (found.errno, found.filename, found.tried) == (2, "a.csv", 3)
    assert isinstance(failed(WantsMore(1, "more")), RemoteError)  # its __new__ takes more as well
    held = KeepsMore(2, "more")
    held.why = threading.Lock()  # type: ignore[assignment]
    assert isinstance(failed(held), RemoteError)


@pytest.mark.parametrize(
    "error", [KeyError("k"), OSError(2, "no such"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad")]
)
def test_ordinary_exceptions_come_back_as_themselves(error: Exception) -> None:
    found = failed(error)
    assert (type(found), str(found), found.args) == (type(error), str(error), error.args)


def test_text_that_the_pickle_loses_is_kept_by_a_remote_error() -> None:
    error = HasSlots()
    error.why = "said later"
    found = failed(error)
    assert isinstance(found, RemoteError)
    assert "said later" in str(found)


def test_an_address_in_the_text_or_a_text_that_changes_is_no_other_text() -> None:
    class Text:
        def __str__(self) -> str:
            return os.urandom(8).hex()

        __repr__ = __str__

    assert type(failed(ValueError(object()))) is ValueError
    assert type(failed(ValueError(Text()))) is ValueError


def test_an_exception_that_holds_an_array_comes_back_with_it() -> None:
    error = failed(ValueError("bad data", np.arange(10_000)))
    assert type(error) is ValueError
    assert error.args[1].sum() == sum(range(10_000))


def remade(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    error = kind.__new__(kind)
    error.args = args
    return error


def test_a_library_that_replaces_how_exceptions_are_pickled_changes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As dask does by tblib for all that it finds: what __init__ sets beside args is lost.
    monkeypatch.setitem(
        copyreg.dispatch_table,
        UnicodeDecodeError,
        lambda error: (remade, (type(error), error.args)),
    )
    found = failed(UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"))
    assert type(found) is UnicodeDecodeError
    assert str(found) == "'utf-8' codec can't decode byte 0x78 in position 0: bad"


def test_a_long_text_is_cut() -> None:
    packed = PackedOutcome.from_exception(4, ValueError("x" * 5_000_000), 0.0)
    assert max(map(len, packed.note.values())) < 1_100_000
    assert (
        len(str(failed(ValueError("x" * 5_000_000)))) == 5_000_000
    )  # the exception itself is whole


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
def test_what_would_end_the_program_names_its_task(error: BaseException) -> None:
    found = failed(error)
    assert isinstance(found, TaskExitedError)
    assert str(found).startswith("task 4 ")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StrExits])
def test_a_result_that_does_not_load_is_that_tasks_failure(kind: type[BaseException]) -> None:
    class Unloadable:
        def __reduce__(self) -> Any:
            return raise_it, (kind,)

    found = opened(PackedOutcome.from_value(4, Unloadable(), 0.0))
    assert isinstance(found, Failure)
    assert isinstance(found.exception, NotPicklableError)
    assert "the result of task 4" in str(found.exception)


def raise_it(kind: type[BaseException]) -> None:
    raise kind("while it is loaded")


def test_a_damaged_payload_is_that_tasks_failure() -> None:
    packed = PackedOutcome.from_value(4, [1, 2, 3], 0.0)
    for payload in (b"", b"garbage", bytes(packed.payload)[:-1]):
        assert isinstance(replace(packed, payload=payload).open(), Failure)
    packed = PackedOutcome.from_exception(4, ValueError("no"), 0.0)
    for payload in (b"garbage", bytes(packed.payload)[:-1]):
        found = replace(packed, payload=payload).open()
        assert isinstance(found, Failure)
        assert isinstance(found.exception, RemoteError)
