"""``dolambda version``, the same as ``dolambda --version``."""

from __future__ import annotations

from dolambda.version import VERSION


def version() -> None:
    """Print the version of dolambda."""
    print(f"dolambda {VERSION}")
