"""Changed `Contents`, whose files stay as long as they do."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dolambda.environment.layer import Contents


def replaced(contents: Contents, **changes: Any) -> Contents:
    """Return what `dataclasses.replace` returns.

    `layer.build` removes the directory of the files with the contents that it returned: those live
    as long as the new ones.
    """
    changed = replace(contents, **changes)
    weakref.finalize(changed, _let_go, contents)
    return changed


def _let_go(_contents: Contents) -> None:
    """Do nothing. Until it is called, the contents are kept."""
