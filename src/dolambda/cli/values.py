"""Errors about the values of options, in plain words.

**Input:** typer's error, which comes from pydantic since typer 0.29. **Output:** the same error,
which shows the value and says what it is not.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

_KINDS = {"int": "a whole number", "float": "a number", "bool": "yes or no"}
_BOUNDS = {
    "greater_than_equal": "at least {ge:,}",
    "greater_than": "more than {gt:,}",
    "less_than_equal": "at most {le:,}",
    "less_than": "less than {lt:,}",
}


class PlainGroup(TyperGroup):
    """A group of commands whose errors about values are in plain words."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command, see `typer.core.TyperGroup.invoke`."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = in_words(error)
            raise


def in_words(error: typer.BadParameter) -> str:
    """Return the message of an error, in plain words if it is one of pydantic's."""
    found = getattr(error.__cause__, "errors", None)
    if not callable(found):
        return str(error.message)
    first = found()[0]
    kind, value = first["type"], first["input"]
    if kind in _BOUNDS:
        return f"{value} is not {_BOUNDS[kind].format(**first['ctx'])}."
    wanted = _KINDS.get(kind.partition("_")[0])
    return f"{value!r} is not {wanted}." if wanted else str(error.message)
