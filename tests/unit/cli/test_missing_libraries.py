"""What a person who deploys is told of libraries that Lambda lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dolambda.cli.stack import _warn_of_missing
from dolambda.environment.layer import Contents, Package
from dolambda.settings import Settings
from support.elf_files import write_library

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("layers", "says"),
    [((), "a layer of your own brings them"), (("arn:x",), "layers= bring them")],
)
def test_package_and_library_are_named_on_standard_error(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    layers: tuple[str, ...],
    says: str,
) -> None:
    library = write_library(tmp_path / "lib.so", "libgomp.so.1")
    boosts = Package.from_files("boosts", {"boosts/lib.so": library})
    settings = Settings(layers=layers, runtime="provided.al2023")
    _warn_of_missing(Contents(packages=(boosts,)), settings)
    printed = capsys.readouterr()
    assert "    boosts needs libgomp.so.1 (boosts/lib.so)\n" in printed.err
    assert says in printed.err
    assert printed.out == ""
    _warn_of_missing(Contents(), settings)
    assert capsys.readouterr().err == ""
