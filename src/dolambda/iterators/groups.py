"""R's `isplit`: groups of equal factors.

**Input:** entries and their factors. **Output:** `Group` objects.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

from dolambda.errors import ConfigurationError
from dolambda.iterators.checks import length
from dolambda.iterators.counting import icountn


class Group(NamedTuple):
    """A group of entries, as `isplit` returns it.

    Example:
        >>> [tuple(group) for group in isplit([1, 2, 3], ["a", "b", "a"])]
        [([1, 3], ('a',)), ([2], ('b',))]
    """

    value: Any
    """The entries of the group: an array or a frame if they came from one, else a list."""
    key: tuple[Any, ...]
    """The group's level of each factor."""


def isplit(x: Any, groups: Any, *, drop: bool = False) -> Iterator[Group]:
    """Split by one factor or several, the first fastest: R's `isplit`, in the order of `split`.

    Args:
        x: A sequence, a Series, or an array or data frame, whose rows are split.
        groups: One factor, with as many entries as ``x``. Or several: a list of lists, arrays or
            Series, or a data frame of them. Tuples are keys of one factor. Levels are the sorted
            entries, or the categories of a pandas Categorical in their order, including unused
            ones.
        drop: Leave out combinations of levels that have no entry. Otherwise their group is empty.

    Returns:
        The groups. Entries whose group is missing (None, NaN, NA) are in none.

    Raises:
        ConfigurationError: A factor does not have one entry for each of ``x``.

    Example:
        >>> [group.value for group in isplit([1, 2, 3], ["b", "a", "b"])]
        [[2], [1, 3]]
    """
    n = length(x, "isplit: x")
    factors = [_factor(entries) for entries in _factors(groups)]
    for number, (_, codes) in enumerate(factors):
        if len(codes) != n:
            which = f"groups[{number}]" if len(factors) > 1 else "groups"
            raise ConfigurationError(
                f"isplit: {which} has {len(codes)} entries, and x has {n}",
                hint="Pass one entry for each of x. Several factors are a list of lists, arrays "
                "or Series.",
            )
    return _grouped(
        x,
        [levels for levels, _ in factors],
        list(zip(*(codes for _, codes in factors), strict=True)),
        drop=drop,
    )


def _grouped(
    x: Any, levels: list[list[Any]], codes: list[tuple[int, ...]], *, drop: bool
) -> Iterator[Group]:
    members: dict[tuple[int, ...], list[int]] = {}
    for position, code in enumerate(codes):
        if min(code) >= 0:
            members.setdefault(code, []).append(position)
    for code in sorted(members, key=lambda code: code[::-1]) if drop else icountn(map(len, levels)):
        at = members.get(code, [])
        place = getattr(x, "iloc", x)
        value = place[at] if hasattr(x, "shape") else [x[position] for position in at]
        yield Group(value, tuple(level[number] for level, number in zip(levels, code, strict=True)))


def _factors(groups: Any) -> list[Any]:
    if hasattr(groups, "columns"):
        return [column for _, column in groups.items()]
    # A key can be hashed; lists, arrays, Series and Categoricals cannot.
    if (
        isinstance(groups, (list, tuple))
        and groups
        and not any(isinstance(entry, Hashable) for entry in groups)
    ):
        return list(groups)
    return [groups]


def _factor(entries: Any) -> tuple[list[Any], list[int]]:
    """Return the levels, and each entry's position among them: -1 for a missing one."""
    categorical = getattr(entries, "cat", entries)
    if hasattr(categorical, "categories"):
        return list(categorical.categories), list(categorical.codes)
    # numpy's scalars are hard to read as keys, but dates would become plain numbers.
    plain = getattr(getattr(entries, "dtype", None), "kind", "M") not in "mM"
    try:
        values = entries.tolist() if plain else list(entries)
        levels = sorted({value for value in values if not _missing(value)})
        places = {level: place for place, level in enumerate(levels)}
        return levels, [places.get(value, -1) for value in values]
    except TypeError as error:
        raise ConfigurationError(
            f"isplit: groups cannot be sorted into levels ({error})",
            hint="Use entries of one type, or pandas.Categorical(groups, categories=...).",
        ) from error


def _missing(value: Any) -> bool:
    try:
        # NaN and NaT differ from themselves.
        return value is None or bool(value != value)  # noqa: PLR0124
    except TypeError:  # pandas' NA answers NA, which is neither true nor false
        return True
