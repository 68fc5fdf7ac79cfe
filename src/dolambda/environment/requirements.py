"""What a layer shall hold. On entry: requirements as pip writes them; on leaving: the same, pinned to what is installed here.

Client and worker should run the same versions: a model pickled by one is un-pickled by the other, and results are compared.
"""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BARE_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*\Z")


def pinned(requires: Iterable[str]) -> tuple[str, ...]:
    """Pin each bare name to the version installed here; leave what is already constrained. Sorted."""
    return tuple(sorted(_pin(requirement) for requirement in requires if requirement.strip()))


def _pin(requirement: str) -> str:
    if "://" in requirement or requirement.lstrip().startswith((".", "/", "-")):
        msg = f"requires: {requirement!r} is a path, a link or an option"
        raise ConfigurationError(msg, mend="Name a package of the registry; your own modules travel by themselves.")
    bare = _BARE_NAME.match(requirement)
    if not bare:
        return requirement.strip()
    try:
        return f"{requirement.strip()}=={metadata.version(bare[1])}"
    except metadata.PackageNotFoundError:
        return requirement.strip()
