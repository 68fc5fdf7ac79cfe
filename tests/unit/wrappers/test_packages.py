from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from dolambda.wire.pickler import imported_names
from dolambda.wrappers.packages import Prepared

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def made(source: str) -> Any:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(source, names)  # noqa: S102 - a main program's function
    return names["f"]


def test_a_partial_functions_packages_are_known_to_it() -> None:
    partial = functools.partial(made("def f(a, b):\n    return colorsys.__name__, a, b"), 1)
    assert Prepared(partial, ("colorsys",))(2) == ("colorsys", 1, 2)


def test_packages_that_are_the_users_own_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dolambda.environment.code import collect  # noqa: PLC0415 - only here

    (tmp_path / "named_only.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    Prepared(len, ("named_only",))
    assert "named_only" not in sys.modules
    assert "named_only.py" in collect({}, names=imported_names).entries
