"""R packages that have to be compiled: what their sources say of themselves."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from dolambda.environment.r_source import SourcePackage, is_path
from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION = """Package: mine
Version: 1.2
Depends: R (>= 4.0), data.table
Imports: stats, jsonlite (>= 1.7),
    methods,
  curl
LinkingTo: Rcpp
Suggests: testthat
"""
NEEDS = ("data.table", "jsonlite", "curl", "Rcpp")


@pytest.mark.parametrize("text", [DESCRIPTION, DESCRIPTION.rstrip("\n")])
def test_a_directory_says_its_name_and_what_it_needs(tmp_path: Path, text: str) -> None:
    (tmp_path / "DESCRIPTION").write_text(text)
    assert SourcePackage.from_path(tmp_path) == SourcePackage("mine", str(tmp_path), NEEDS)


def test_so_does_an_archive(tmp_path: Path) -> None:
    file = tmp_path / "mine_1.2.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, text in (
            ("mine/inst/DESCRIPTION", "Package: other"),
            ("mine/DESCRIPTION", DESCRIPTION),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    assert SourcePackage.from_path(file) == SourcePackage("mine", str(file), NEEDS)


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_what_is_no_package_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "mine.tar.gz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"mine\.tar\.gz' is not a source package of R"):
        SourcePackage.from_path(file)


def test_a_directory_without_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "DESCRIPTION").write_text("Version: 1\n")
    with pytest.raises(ConfigurationError, match="is not a source package of R"):
        SourcePackage.from_path(tmp_path)


def test_a_path_differs_from_a_name() -> None:
    assert [
        is_path(entry) for entry in ("data.table", "r-cran-mass", "./mine", "mine_1.tar.gz")
    ] == [
        False,
        False,
        True,
        True,
    ]
