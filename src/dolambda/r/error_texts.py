"""What an R session is told of an error.

**Input:** an error. **Output:** its class, what is wrong and the hint, with R's name of `register`.
"""

from __future__ import annotations

import re

_REGISTER = re.compile(r"\b(?:dolambda\.)?register\(")


def error_texts(error: BaseException) -> tuple[str, str, str]:
    """Return an error's class, what is wrong, and the hint."""
    what, _, hint = _REGISTER.sub("registerDoLambda(", str(error)).partition("\n  ")
    return type(error).__name__, what, hint
