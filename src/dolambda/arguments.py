"""Checks of the user's arguments: type, range and spelling, with errors that name value and source.

**Input:** a value, a `Rule`, and the `Source` it came from. **Output:** the value, converted, or a
`ConfigurationError`.
"""

from __future__ import annotations

import difflib
import json
import operator
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True)
class Source:
    """The origin of a value: how it is written there, and the hint for a wrong value.

    ``written`` returns an assignment of a value, which ``shown`` converts to text.
    """

    written: Callable[[str], str]
    hint: str
    shown: Callable[[object], str] = repr

    @classmethod
    def argument(cls, name: str) -> Source:
        """Return the source of a keyword argument."""
        return cls(lambda value: f"{name}={value}", f"Leave {name}= out for the default.")

    @classmethod
    def variable(cls, name: str) -> Source:
        """Return the source of an environment variable."""
        return cls(lambda value: f"{name}={value}", f"Correct {name}, or unset it.")

    @classmethod
    def file(cls, name: str, path: object) -> Source:
        """Return the source of a key of a project file."""
        return cls(
            lambda value: f"[tool.dolambda] {name} = {value} in {path}",
            "Correct it in that file.",
            _in_toml,
        )


class UnfitError(ValueError):
    """A value of the wrong kind, with a more specific message than that of its rule."""

    def __init__(self, why: str, instead: object = None) -> None:
        """Create the error. ``why`` follows the value in the message, ``instead`` is allowed."""
        super().__init__(why)
        self.why = why
        self.instead = instead


@dataclass(frozen=True)
class Rule:
    """The values that are allowed, in words that follow "is not"."""

    says: str
    converted: Callable[[Any], Any]
    holds: Callable[[Any], bool] = lambda _: True
    parsed: Callable[[str], Any] = str
    """Function that reads the value from text, such as an environment variable."""

    def check(self, value: object, source: Source) -> Any:
        """Return the value, converted.

        Raises:
            ConfigurationError: The value does not satisfy the rule.
        """
        why, hint = f"is not {self.says}", source.hint
        try:
            converted = self.converted(value)
            if self.holds(converted):
                return converted
        except ConfigurationError:  # its own message is better
            raise
        except UnfitError as error:
            why = error.why
            if error.instead is not None:
                hint = f"Write {source.written(source.shown(error.instead))}."
        except (
            TypeError,
            ValueError,
            KeyError,
            OverflowError,
        ):  # all mean that the value has the wrong type
            pass
        raise ConfigurationError(f"{source.written(source.shown(value))} {why}", hint=hint)

    def check_text(self, text: str, source: Source) -> Any:
        """Return the value that a text represents.

        Raises:
            ConfigurationError: The value does not satisfy the rule.
        """
        try:
            value = self.parsed(text)
        except (ValueError, KeyError):
            raise ConfigurationError(
                f"{source.written(repr(text))} is not {self.says}", hint=source.hint
            ) from None
        return self.check(value, source)


def whole(low: int, high: int, unit: str = "", note: str = "") -> Rule:
    """Return the rule of a whole number. Bools and fractions are not allowed."""
    says = f"a whole number{unit and f' of {unit}'} from {low:,} to {high:,}{note}"
    return Rule(says, _as_int, lambda value: low <= value <= high, int)


def count() -> Rule:
    """Return the rule of a whole number without an upper limit."""
    return Rule("a whole number greater than 0", _as_int, lambda value: value > 0, int)


def number(low: float, high: float, unit: str, note: str = "") -> Rule:
    """Return the rule of a number."""
    says = f"a number of {unit} from {low:,} to {high:,}{note}"
    return Rule(says, _as_float, lambda value: low <= value <= high, float)


def above_zero(unit: str) -> Rule:
    """Return the rule of a number without an upper limit."""
    return Rule(f"a number of {unit} greater than 0", _as_float, lambda value: value > 0, float)


def text(says: str = "text", holds: Callable[[str], bool] = lambda _: True) -> Rule:
    """Return the rule of a text. A path is allowed."""
    return Rule(says, _as_text, holds)


def texts(says: str, holds: Callable[[tuple[str, ...]], bool] = lambda _: True) -> Rule:
    """Return the rule of a list of texts, separated by commas in an environment variable."""

    def converted(value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            raise UnfitError("is text, not a list", [value])
        parts = tuple(value)
        for part in parts:
            if not isinstance(part, str):
                raise UnfitError(f"holds {part!r}, which is not text")
        return parts

    def parsed(given: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in given.split(",") if part.strip())

    return Rule(says, converted, holds, parsed)


def choice(*values: str) -> Rule:
    """Return the rule of a choice among words."""
    listed = ", ".join(f'"{value}"' for value in values[:-1]) + f' or "{values[-1]}"'
    says = f'"{values[0]}"' if len(values) == 1 else listed
    return Rule(says, _as_text, lambda value: value in values)


_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}

FLAG = Rule(
    "True or False",
    lambda value: value if isinstance(value, bool) else _unfit(),
    parsed=lambda given: _WORDS[given.strip().lower()],
)


def _in_toml(value: object) -> str:
    """Return a value as it is written in a TOML file."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:  # a date
        return str(value)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar, or None if none is."""
    return next(iter(difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)), None)


def refuse_unknown(
    given: Iterable[object],
    known: Iterable[str],
    *,
    what: str,
    written: Callable[[str], str] = lambda name: f"{name}=",
    elsewhere: Mapping[str, str] | None = None,
) -> None:
    """Raise `ConfigurationError` for an unknown name, with the most similar known one.

    Args:
        given: The names to check.
        known: The known names.
        what: Kind of the names, for the message.
        written: Returns a name as the user writes it.
        elsewhere: Hints for names that belong to something else.
    """
    known = sorted(known)
    for name in sorted(str(name) for name in given):
        if name in known:
            continue
        hint = (elsewhere or {}).get(name)
        near = nearest(name, known)
        if hint is None:
            hint = f"Did you mean {written(near)}?" if near else f"Known names: {', '.join(known)}."
        raise ConfigurationError(f"unknown {what} {written(name)}", hint=hint)


_BOOLS = ("bool", "bool_")  # numpy's bools, of both its major versions


def _unfit() -> Any:
    raise TypeError


def _as_int(value: Any) -> int:
    if isinstance(value, bool) or type(value).__name__ in _BOOLS:
        raise TypeError
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return operator.index(value)


def _as_float(value: Any) -> float:
    if isinstance(value, (bool, str, bytes)) or type(value).__name__ in _BOOLS:
        raise TypeError
    return float(value)


def _as_text(value: Any) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return value if isinstance(value, str) else str(_unfit())
