"""Comparison of a deployed stack with this environment: packages and worker code.

**Input:** a `Stack`. **Output:** nothing, or a `ConfigurationError` before the first task.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from dolambda.environment.requirements import differing, not_among
from dolambda.environment.worker_zip import worker_code
from dolambda.errors import ConfigurationError
from dolambda.version import VERSION

if TYPE_CHECKING:
    from dolambda.stack import Stack


def mismatches(stack: Stack) -> list[str]:
    """Return the differences between the stack and this environment.

    `Stack` has compared the version of Python already.
    """
    told = differing(stack.requires)
    if stack.code != worker_code():
        told.append(
            f"its worker code is of another dolambda or cloudpickle than the local {VERSION}"
        )
    return told


def refuse_mismatch(stack: Stack) -> None:
    """Raise `ConfigurationError` for a stack that differs from this environment."""
    told = mismatches(stack)
    if told:
        raise ConfigurationError(
            f"the stack {stack.name!r} differs from this environment: {'; '.join(told)}",
            hint="Run `dolambda deploy` from this environment, or install the stack's versions "
            "locally.",
        )


def refuse_missing(stack: Stack, extra_requires: tuple[str, ...]) -> None:
    """Raise `ConfigurationError` for packages that the stack was deployed without."""
    missing = not_among(extra_requires, stack.requires) if stack.requires else []
    if missing:
        options = " ".join(f"--extra-requires {shlex.quote(name)}" for name in missing)
        raise ConfigurationError(
            f"the stack {stack.name!r} was deployed without extra_requires={missing}",
            hint=f"Only deploying installs packages: `dolambda deploy {options}`.",
        )
