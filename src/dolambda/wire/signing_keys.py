"""Which keys sign jobs and replies.

On entry: the variables of the function's environment; on leaving: keys.

A client signs with the key that it read when its session began, so a key cannot be replaced at one
stroke. Each variable that is set is a key that workers accept:

    DOLAMBDA_KEY           the one that clients read
    DOLAMBDA_KEY_NEXT      the one that they are to read next: set until every worker knows it
    DOLAMBDA_KEY_BEFORE    the one that they read before: sessions opened then still use it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY, NEXT, BEFORE = "DOLAMBDA_KEY", "DOLAMBDA_KEY_NEXT", "DOLAMBDA_KEY_BEFORE"
VARIABLES = (KEY, NEXT, BEFORE)


def new() -> str:
    """A new key, as a variable holds it: 32 random bytes in hexadecimal digits."""
    import secrets  # noqa: PLC0415 - 1 ms, and no worker makes a key

    return secrets.token_hex(32)


def accepted(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """All keys that a worker accepts, the current one first."""
    return tuple(bytes.fromhex(environ[name]) for name in VARIABLES if environ.get(name))


def found(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables among those of a function that hold keys."""
    return {name: variables[name] for name in VARIABLES if variables.get(name)}
