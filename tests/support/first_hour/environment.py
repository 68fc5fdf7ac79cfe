"""The user's variables for AWS: `tests/conftest.py` sets them aside, so that no other test finds
real credentials, and the tests of a real account put them back.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_PREFIXES = ("AWS_", "DOLAMBDA_")
_set_aside: dict[str, str] = {}


def set_aside() -> None:
    """Take AWS's and dolambda's variables out of the environment."""
    for name in [name for name in os.environ if name.startswith(_PREFIXES)]:
        _set_aside[name] = os.environ.pop(name)


def is_asked_for() -> bool:
    """Return whether the user wants the tests of a real account."""
    return bool(_set_aside.get("DOLAMBDA_TEST_AWS"))


def put_back(patch: pytest.MonkeyPatch) -> None:
    """Put AWS's variables back as the user has set them, until ``patch`` ends."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in _set_aside.items():
        if name.startswith("AWS_"):
            patch.setenv(name, value)
