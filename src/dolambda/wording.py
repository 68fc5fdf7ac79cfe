"""Text for counts, durations, dollars and times, in one form everywhere.

**Input:** numbers. **Output:** text for the user: "2 tasks", "1 min 35 s", "$0.0034".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_FOUR_DECIMALS = 0.001  # below, they would round too much
_SMALLEST_SHOWN = 0.0001
_CENTS_MATTER = 1.0  # dollars from which two decimals are enough


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 task", "2,000 tasks".

    ``plural`` is needed if it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: "300 ms", "1.8 s", "1 min 35 s", "4 h 10 min"."""
    if 0 < seconds < 1:
        # The lower bound is half a millisecond.
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.0005 else "less than 1 ms"  # noqa: PLR2004
    if seconds < 10:  # noqa: PLR2004 - one decimal is still informative
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for unit, name, below, below_name in (
        (_DAY, "day", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            first = whole // unit
            large = count(first, name) if name == "day" else f"{first:,} {name}"
            rest = (whole - first * unit) // below
            return f"{large} {rest} {below_name}" if rest else large
    return f"{whole} s"


def dollars(amount: float) -> str:
    """Return an amount: "$0.00027", "$0.0034", "$1,234.50"."""
    if 0 < amount < _SMALLEST_SHOWN:
        return "less than $0.0001"
    if 0 < amount < _FOUR_DECIMALS:
        return f"${amount:.5f}".rstrip("0")
    return f"${amount:,.2f}" if amount >= _CENTS_MATTER else f"${amount:.4f}"


def yes_no(value: object) -> str:
    """Return "yes" or "no"."""
    return "yes" if value else "no"


def listing(words: Iterable[str], last: str = "and") -> str:
    """Return words as a list in a sentence: "a, b and c"."""
    *first, end = list(words)
    return f"{', '.join(first)} {last} {end}" if first else end


def moment(seconds: float, *, exact: bool = False) -> str:
    """Return a time since the epoch as local date and time, with seconds if ``exact``."""
    when = datetime.fromtimestamp(seconds, UTC).astimezone()
    return f"{when:%Y-%m-%d %H:%M:%S}" if exact else f"{when:%Y-%m-%d %H:%M}"
