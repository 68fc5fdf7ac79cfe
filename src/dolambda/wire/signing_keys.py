"""The keys that sign jobs and replies.

**Input:** the environment variables of the function. **Output:** keys.

A client signs with the key that it read when its session began, so a key cannot be replaced in one
step. Workers accept the key in each of these variables that is set:

    DOLAMBDA_KEY           the key that clients read
    DOLAMBDA_KEY_NEXT      the key that they will read next, set until every worker knows it
    DOLAMBDA_KEY_BEFORE    the key that they read before; sessions opened then still use it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY, NEXT, BEFORE = "DOLAMBDA_KEY", "DOLAMBDA_KEY_NEXT", "DOLAMBDA_KEY_BEFORE"
VARIABLES = (KEY, NEXT, BEFORE)


def new() -> str:
    """Return a new key in the form of a variable's value: 32 random bytes in hexadecimal digits."""
    import secrets  # noqa: PLC0415 - 1 ms, and no worker makes a key

    return secrets.token_hex(32)


def accepted(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return all keys that a worker accepts, the current one first."""
    return tuple(bytes.fromhex(environ[name]) for name in VARIABLES if environ.get(name))


def found(variables: Mapping[str, str]) -> dict[str, str]:
    """Return those of a function's variables that hold keys."""
    return {name: variables[name] for name in VARIABLES if variables.get(name)}
