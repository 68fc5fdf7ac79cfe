"""Where a worker's R is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dolambda.errors import ConfigurationError
from dolambda.r.find_r import FOLDER, find_r

if TYPE_CHECKING:
    from pathlib import Path


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def layer(opt: Path) -> Path:
    folder = opt / FOLDER
    program(folder / "lib" / "ld-linux-x86-64.so.2")
    program(folder / "R" / "bin" / "exec" / "R")
    return folder


def test_a_layers_r_comes_first_and_starts_by_its_own_loader(tmp_path: Path) -> None:
    folder = layer(tmp_path / "opt")
    home = program(tmp_path / "home" / "bin" / "R").parent.parent
    command = find_r(str(home), {"PATH": f"/nowhere:{tmp_path}/opt/bin"})
    assert command.arguments[0] == str(folder / "lib" / "ld-linux-x86-64.so.2")
    assert str(folder / "R" / "bin" / "exec" / "R") in command.arguments
    assert command.environment["R_HOME"] == str(folder / "R")


def test_without_a_layer_it_is_the_r_of_the_session(tmp_path: Path) -> None:
    home = program(tmp_path / "home" / "bin" / "R").parent.parent
    program(tmp_path / "other" / "R")
    command = find_r(
        str(home), {"PATH": str(tmp_path / "other"), "LD_LIBRARY_PATH": "/opt/lib", "A": "b"}
    )
    assert command.arguments[0] == str(home / "bin" / "R")
    assert command.environment == {"PATH": str(tmp_path / "other"), "A": "b"}


def test_else_it_is_the_one_on_the_path(tmp_path: Path) -> None:
    found = program(tmp_path / "other" / "R")
    assert find_r("/nowhere", {"PATH": str(found.parent)}).arguments[0] == str(found)


def test_where_there_is_none_the_hint_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no R\n.*dolambda deploy --r"):
        find_r("/nowhere", {"PATH": str(tmp_path)})
