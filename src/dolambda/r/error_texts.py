"""Texts for an R session, with R's name of `register`.

**Input:** an error, or a line for the user. **Output:** its texts.
"""

from __future__ import annotations

import re

_REGISTER = re.compile(r"\b(?:dolambda\.)?register\(")


def error_texts(error: BaseException) -> tuple[str, str, str]:
    """Return an error's class, its message, and the hint."""
    what, _, hint = in_r(str(error)).partition("\n  ")
    return type(error).__name__, what, hint


def in_r(text: str) -> str:
    """Return a text with R's function in place of Python's `register`."""
    return _REGISTER.sub("registerDoLambda(", text)
